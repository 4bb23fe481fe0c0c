"""KubeProxyConfiguration files: what is read, what is left out, what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from controller.configuration.addresses import listen_address
from controller.configuration.check import problems
from controller.configuration.decode import decode, encode
from controller.configuration.duration import Duration
from controller.configuration.fields import without_effect
from controller.configuration.schema import KubeProxyConfiguration
from controller.configuration.watch import contents
from dataplane.errors import InputError
from patience import PATIENCE

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

# As kubeadm writes it, but for the mode.
KUBEADM = """
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
kind: KubeProxyConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
"""


def test_what_kubeadm_writes_is_the_default_but_for_what_it_says() -> None:
    found, left_out = decode(KUBEADM)
    assert left_out == []
    assert without_effect(found) == []
    default = KubeProxyConfiguration()
    for name in ("conntrack", "nftables", "bind_address", "mode", "oom_score_adj", "healthz_bind_address"):
        assert getattr(found, name) == getattr(default, name)
    assert found.cluster_cidr == "10.244.0.0/16"
    assert found.client_connection.kubeconfig == "/var/lib/kube-proxy/kubeconfig.conf"


def test_unknown_and_double_keys_are_left_out_and_told() -> None:
    found, left_out = decode(
        HEAD + "clusterCIDR: 10.1.0.0/16\nfuture: {a: 1}\nnftables: {colour: red}\nclusterCIDR: 10.2.0.0/16\n"
    )
    assert found.cluster_cidr == "10.2.0.0/16"
    assert left_out == ["clusterCIDR: given twice (line 6)", "future: unknown field", "nftables.colour: unknown field"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "expected the fields of a KubeProxyConfiguration, got list"),
        ("", "expected the fields of a KubeProxyConfiguration, got NoneType"),
        ("a: [", "no YAML: "),
        (HEAD.replace("v1alpha1", "v1"), "apiVersion: 'kubeproxy.config.k8s.io/v1' is not"),
        (HEAD.replace("KubeProxy", "Kubelet"), "kind: 'KubeletConfiguration' is not"),
        (HEAD + "conntrack: {min: many}", "conntrack.min: expected int, got str"),
        (HEAD + "nftables: {syncPeriod: soon}", "nftables.syncPeriod: 'soon' is no duration"),
        (HEAD + "nftables: {syncPeriod: true}", "nftables.syncPeriod: expected a duration"),
        (HEAD + "nftables: {syncPeriod: 30}", "nftables.syncPeriod: expected a duration like 30s, got int"),
        (HEAD + "nftables: fast", "nftables: expected object, got str"),
        (HEAD + "nodePortAddresses: [1]", "nodePortAddresses[0]: expected str, got int"),
    ],
)
def test_what_cannot_be_meant_is_named_by_its_path(text: str, told: str) -> None:
    with pytest.raises(InputError) as raised:
        decode(text)
    assert str(raised.value).startswith(told)


def test_what_is_written_reads_the_same() -> None:
    found, _ = decode(KUBEADM)
    again, left_out = decode(encode(found))
    assert (again, left_out) == (found, [])


@pytest.mark.parametrize(
    ("text", "seconds", "written"),
    [
        ("0", 0, "0s"), ("0s", 0, "0s"), ("300ms", 0.3, "300ms"), ("1.5s", 1.5, "1.5s"), ("90s", 90, "1m30s"),
        ("2h45m", 9900, "2h45m0s"), ("24h0m0s", 86400, "24h0m0s"), ("-5s", -5, "-5s"),
    ],
)  # fmt: skip
def test_durations_are_go_s(text: str, seconds: float, written: str) -> None:
    duration = Duration.parse(text)
    assert duration.seconds == pytest.approx(seconds)
    assert Duration.parse(str(duration)) == duration
    assert str(duration) == written


def test_only_how_often_logs_are_flushed_may_be_a_number_of_nanoseconds() -> None:
    found, _ = decode(HEAD + "logging: {flushFrequency: 5000000000}")
    assert found.logging.flush_frequency == Duration(5)


def test_a_bad_address_is_told_once() -> None:
    found, _ = decode(HEAD + "bindAddress: 1.2.3")
    assert list(problems(found)) == [("bindAddress", "'1.2.3' is no IP address")]


@pytest.mark.parametrize("text", ["", "5", "s", "1d", "1s1", "- 1s", "--1s"])
def test_nothing_else_is_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None), ("127.0.0.1:99", ("127.0.0.1", 99)), ("[::1]:99", ("::1", 99)), (":99", ("0.0.0.0", 99)),
        ("192.0.2.1", ("192.0.2.1", 7)), ("fd00::1", ("fd00::1", 7)), ("[fd00::1]", ("fd00::1", 7)),
    ],
)  # fmt: skip
def test_an_address_without_a_port_gets_the_usual_one(text: str, address: tuple[str, int] | None) -> None:
    assert listen_address(text, 7) == address


@pytest.mark.parametrize("text", ["localhost:99", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:", "[::1]:x", "nowhere"])
def test_nothing_else_is_an_address_to_listen_on(text: str) -> None:
    with pytest.raises(ValueError, match="is no address to listen on"):
        listen_address(text, 7)


def test_a_file_that_changes_is_noticed_however_it_is_replaced(tmp_path: Path) -> None:
    folders = [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        folder.mkdir()
        (folder / "config").write_text(folder.name)
    link = tmp_path / "config"
    link.symlink_to(folders[0] / "config")

    async def main() -> None:
        news = contents(link, seconds=0.001)
        first = asyncio.ensure_future(anext(news))
        await asyncio.sleep(0.01)
        link.unlink()  # not there for a while: nothing new
        await asyncio.sleep(0.01)
        link.symlink_to(folders[1] / "config")
        async with asyncio.timeout(PATIENCE):
            assert await first == "2"
            second = asyncio.ensure_future(anext(news))
            await asyncio.sleep(0.01)
            (folders[1] / "config").write_text("3")
            assert await second in ("", "3")

    asyncio.run(main())
