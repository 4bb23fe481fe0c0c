"""kube-proxy's flags and file, as the agent's command line takes them."""

from __future__ import annotations

import argparse
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controller.configuration.duration import Duration
from controller.configuration.fields import FIELDS, Field, Kind, with_value, without_effect
from controller.configuration.options import agent_options
from controller.configuration.schema import KubeProxyConfiguration
from dataplane.errors import InputError
from svcplane import agent, agent_flags
from svcplane.logs import set_up_logging
from svcplane.main import main

PAGE = Path(__file__).parents[2] / "docs" / "kube-proxy-flags.md"

# Every flag of kube-proxy v1.36, as its --help lists them.
OF_KUBE_PROXY = """
--bind-address --bind-address-hard-fail --boot-id-file --cleanup --cluster-cidr --config --config-sync-period
--conntrack-max-per-core --conntrack-min --conntrack-tcp-be-liberal --conntrack-tcp-timeout-close-wait
--conntrack-tcp-timeout-established --conntrack-udp-timeout --conntrack-udp-timeout-stream --detect-local-mode
--feature-gates --healthz-bind-address --healthz-port --hostname-override --init-only
--iptables-localhost-nodeports --iptables-masquerade-bit --iptables-min-sync-period --iptables-sync-period
--ipvs-exclude-cidrs --ipvs-min-sync-period --ipvs-scheduler --ipvs-strict-arp --ipvs-sync-period
--ipvs-tcp-timeout --ipvs-tcpfin-timeout --ipvs-udp-timeout --kube-api-burst --kube-api-content-type
--kube-api-qps --kubeconfig --log-flush-frequency --log-json-info-buffer-size --log-json-split-stream
--log-text-info-buffer-size --log-text-split-stream --logging-format --machine-id-file --masquerade-all
--master --metrics-bind-address --metrics-port --nodeport-addresses --oom-score-adj --pod-bridge-interface
--pod-interface-name-prefix --profiling --proxy-mode --show-hidden-metrics-for-version -v --version --vmodule
--write-config-to
"""


# Every field of KubeProxyConfiguration, kubeproxy.config.k8s.io/v1alpha1, in kube-proxy v1.36.
FIELDS_OF_KUBE_PROXY = """
bindAddress bindAddressHardFail clientConnection.acceptContentTypes clientConnection.burst clientConnection.contentType
clientConnection.kubeconfig clientConnection.qps clusterCIDR configSyncPeriod conntrack.maxPerCore conntrack.min
conntrack.tcpBeLiberal conntrack.tcpCloseWaitTimeout conntrack.tcpEstablishedTimeout conntrack.udpStreamTimeout
conntrack.udpTimeout detectLocal.bridgeInterface detectLocal.interfaceNamePrefix detectLocalMode enableProfiling
featureGates healthzBindAddress hostnameOverride iptables.localhostNodePorts iptables.masqueradeAll
iptables.masqueradeBit iptables.minSyncPeriod iptables.syncPeriod ipvs.excludeCIDRs ipvs.minSyncPeriod ipvs.scheduler
ipvs.strictARP ipvs.syncPeriod ipvs.tcpFinTimeout ipvs.tcpTimeout ipvs.udpTimeout logging.flushFrequency logging.format
logging.options logging.verbosity logging.vmodule metricsBindAddress mode nftables.masqueradeAll nftables.masqueradeBit
nftables.minSyncPeriod nftables.syncPeriod nodePortAddresses oomScoreAdj portRange showHiddenMetricsForVersion
windowsRunAsService winkernel
"""


# Their defaults without a file, where they are not empty, false or 0. Two are our own, on purpose: the mode and how
# soon it syncs.
DEFAULTS_OF_KUBE_PROXY = {
    "bindAddress": "0.0.0.0", "clientConnection.burst": "10", "clientConnection.qps": "5",
    "clientConnection.contentType": "application/vnd.kubernetes.protobuf", "configSyncPeriod": "15m0s",
    "conntrack.maxPerCore": "32768", "conntrack.min": "131072", "conntrack.tcpCloseWaitTimeout": "1h0m0s",
    "conntrack.tcpEstablishedTimeout": "24h0m0s", "detectLocalMode": "ClusterCIDR",
    "healthzBindAddress": "0.0.0.0:10256", "iptables.localhostNodePorts": "true", "iptables.masqueradeBit": "14",
    "iptables.minSyncPeriod": "1s", "iptables.syncPeriod": "30s", "ipvs.minSyncPeriod": "1s", "ipvs.syncPeriod": "30s",
    "logging.flushFrequency": "5s", "logging.format": "text", "metricsBindAddress": "127.0.0.1:10249",
    "mode": "iptables", "nftables.masqueradeBit": "14", "nftables.minSyncPeriod": "1s", "nftables.syncPeriod": "30s",
    "oomScoreAdj": "-999",
}  # fmt: skip
EMPTY = ("false", "0", "0s")
OUR_OWN_DEFAULTS = {"mode": "nftables", "nftables.minSyncPeriod": "50ms"}


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    agent.add_arguments(parser)
    return parser.parse_args(words)


def configured(*words: str) -> KubeProxyConfiguration:
    return agent.configure(parsed(*words))[0]


def remarks(*words: str) -> list[str]:
    return agent.configure(parsed(*words))[1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def write(file: Path, **fields: object) -> str:
    head = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration"}
    file.write_text(yaml.safe_dump(head | fields))
    return f"--config={file}"


def test_every_flag_of_kube_proxy_is_known() -> None:
    parser = argparse.ArgumentParser()
    agent.add_arguments(parser)
    assert [flag for flag in OF_KUBE_PROXY.split() if flag not in parser._option_string_actions] == []


def test_every_field_of_its_file_is_known_and_no_other() -> None:
    assert sorted(field.path for field in FIELDS) == FIELDS_OF_KUBE_PROXY.split()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.path)
def test_what_is_not_said_is_as_kube_proxy_has_it(field: Field) -> None:
    expected = {**DEFAULTS_OF_KUBE_PROXY, **OUR_OWN_DEFAULTS}.get(field.path, "")
    assert agent_flags.as_text(agent_flags.value_of(configured(), field.path)) in (expected, *EMPTY * (not expected))


@pytest.mark.parametrize("field", [field for field in FIELDS if field.instead], ids=lambda field: field.path)
def test_whoever_sets_a_field_without_effect_is_told(field: Field) -> None:
    values = {
        Kind.BOOLEAN: True, Kind.INTEGER: 7, Kind.NUMBER: 7.0, Kind.DURATION: Duration(7), Kind.WORDS: ["10.0.0.0/8"],
        Kind.GATES: {"A": True}, Kind.TEXT: "something", Kind.NAME: "something",
    }  # fmt: skip
    value = values.get(field.kind, [{"filePattern": "a"}] if field.path == "logging.vmodule" else {"a": "b"})
    configuration = with_value(KubeProxyConfiguration(), field.path, value)
    assert without_effect(configuration) == [f"{field.path}: no effect: {field.instead}"]


def test_the_page_about_them_is_the_table_that_reads_them() -> None:
    assert PAGE.read_text() == agent_flags.table()


def test_without_anything_it_is_as_kube_proxy_s_nftables_mode() -> None:
    options = agent_options(configured(), " Node-1 ")
    assert options.node.name == "node-1"
    assert (options.healthz, options.metrics) == (("0.0.0.0", 10256), ("127.0.0.1", 10249))
    assert (options.pace.minimum, options.pace.retry_most) == (0.05, 30.0)
    assert options.node.node_port_addresses == ("primary",)


def test_in_iptables_mode_it_is_as_kube_proxy_s_iptables_mode() -> None:
    options = agent_options(configured("--proxy-mode=iptables"), "n1")
    assert (options.pace.minimum, options.pace.retry_most) == (1.0, 30.0)
    assert options.node.node_port_addresses == ()
    assert options.mode == "iptables"


def test_ipvs_mode_waits_a_second_between_syncs_unless_a_file_or_a_flag_says_otherwise(file: Path) -> None:
    assert configured("--proxy-mode=ipvs").ipvs.min_sync_period.seconds == 1.0
    assert configured("--proxy-mode=ipvs", "--ipvs-min-sync-period=0").ipvs.min_sync_period.seconds == 0.0
    assert configured(write(file, mode="ipvs")).ipvs.min_sync_period.seconds == 0.0


def test_flags_of_the_rules_count_in_iptables_mode_too() -> None:
    found = configured("--proxy-mode=iptables", "--masquerade-all", "--min-sync-period=2s", "--masquerade-bit=9")
    options = agent_options(found, "n1")
    assert options.node.masquerade_all
    assert options.pace.minimum == 2.0
    assert found.iptables.masquerade_bit == 9


def test_iptables_mode_may_have_a_mark_of_its_own() -> None:
    found = configured("--masquerade-bit=9", "--iptables-masquerade-bit=10")
    assert (found.nftables.masquerade_bit, found.iptables.masquerade_bit) == (9, 10)


def test_external_ips_are_served_unless_their_gate_is_shut() -> None:
    gate = "AllowServiceExternalIPs"
    for words, served in (
        ((), True),
        ((f"--feature-gates={gate}=true",), True),
        ((f"--feature-gates={gate}=0",), False),
    ):
        assert remarks(*words) == []
        assert agent_options(configured(*words), "n1").node.external_ips is served


class TestAFlag:
    @pytest.mark.parametrize(
        ("words", "path", "value"),
        [
            (("--conntrack-tcp-timeout-established=1h30m",), "conntrack.tcpEstablishedTimeout", "1h30m0s"),
            (("--iptables-min-sync-period", "250ms"), "nftables.minSyncPeriod", "250ms"),
            (("--iptables-sync-period=20s",), "nftables.syncPeriod", "20s"),
            (("--masquerade-all",), "nftables.masqueradeAll", "True"),
            (("--masquerade-all=false",), "nftables.masqueradeAll", "False"),
            (("--nodeport-addresses=192.0.2.0/24, fd00::/8",), "nodePortAddresses", "['192.0.2.0/24', 'fd00::/8']"),
            (("--hostname-override", "n1"), "hostnameOverride", "n1"),
            (("--healthz-port=0",), "healthzBindAddress", ""),
            (("--metrics-port=9999",), "metricsBindAddress", "127.0.0.1:9999"),
            (("--healthz-port=9999", "--healthz-bind-address=[::1]:1"), "healthzBindAddress", "[::1]:1"),
            (("--bind-address=fd00::1",), "metricsBindAddress", "[::1]:10249"),
            (("-v=4",), "logging.verbosity", "4"),
        ],
    )
    def test_sets_its_field(self, words: tuple[str, ...], path: str, value: str) -> None:
        assert str(agent_flags.value_of(configured(*words), path)) == value

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--ipvs-strict-arp",), "--ipvs-strict-arp: no effect: Services' addresses are on no interface"),
            (("--feature-gates=B=true,A=false",), "--feature-gates: no effect: A, B: there are no such gates here"),
            (("--boot-id-file=/x",), "--boot-id-file: no effect"),
            (("--kube-api-qps=100",), "--kube-api-qps: no effect"),
        ],
    )
    def test_without_effect_is_told(self, words: tuple[str, ...], told: str) -> None:
        assert [line[: len(told)] for line in remarks(*words)] == [told]

    def test_with_effect_is_not_remarked(self) -> None:
        assert remarks("--cluster-cidr=10.244.0.0/16", "--masquerade-all", "--conntrack-min=0") == []

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--proxy-mode=ipvs", "--ipvs-scheduler=best"), "--ipvs-scheduler: 'best' is none of rr"),
            (("--ipvs-udp-timeout=-1s",), "--ipvs-udp-timeout: -1s is less than nothing"),
            (("--proxy-mode=kernel",), "--proxy-mode: 'kernel' is none of nftables"),
            (("--masquerade-bit=32",), "--masquerade-bit: 32 is not between 0 and 31"),
            (("--iptables-masquerade-bit=-1",), "--iptables-masquerade-bit: -1 is not between 0 and 31"),
            (("--proxy-mode=iptables", "--sync-period=0"), "--iptables-sync-period: 0s is not longer than nothing"),
            (("--oom-score-adj=2000",), "--oom-score-adj: 2000 is not between -1000 and 1000"),
            (("--sync-period=0",), "--iptables-sync-period: 0s is not longer than nothing"),
            (("--min-sync-period=1m",), "--iptables-min-sync-period: 1m0s is longer than syncPeriod, 30s"),
            (("--conntrack-udp-timeout=-1s",), "--conntrack-udp-timeout: -1s is less than nothing"),
            (("--bind-address=here",), "--bind-address: 'here' is no IP address"),
            (("--metrics-bind-address=:99999",), "--metrics-bind-address: ':99999' is no address to listen on"),
            (("--detect-local-mode=Guess",), "--detect-local-mode: 'Guess' is none of"),
            (("--detect-local-mode=BridgeInterface",), "--pod-bridge-interface"),
            (("--pod-interface-name-prefix=a b",), "--pod-interface-name-prefix: 'a b' is no name of an interface"),
            (("--cluster-cidr=10.0.0.0",), "--cluster-cidr: '10.0.0.0' is no network"),
            (("--nodeport-addresses=primary,10.0.0.0/8",), "--nodeport-addresses: 'primary' can't be combined"),
            (("--logging-format=xml",), "--logging-format: 'xml' is neither text nor json"),
            (("--hostname-override= ",), "--hostname-override: is blank"),
            (("--hostname-override=Ünode",), "--hostname-override: 'ünode' can be no node's name (expected letters"),
            (("--hostname-override=n1.",), "--hostname-override: 'n1.' can be no node's name (expected letters"),
            (("--config=/dev/zero",), "--config: can't read /dev/zero: it is longer than 4 MiB"),
            (("--iptables-variant=new",), "--iptables-variant: 'new' is none of auto, nft, legacy"),
            (("--iptables-layout=round",), "--iptables-layout: 'round' is none of kube-proxy, tree"),
        ],
    )
    def test_that_is_wrong_is_named(self, words: tuple[str, ...], told: str) -> None:
        with pytest.raises(InputError) as raised:
            configured(*words)
        assert str(raised.value).startswith(told.partition(": ")[0])
        assert told.partition(": ")[2] in str(raised.value)

    @pytest.mark.parametrize(
        ("flag", "told"),
        [
            ("--conntrack-min=-1", "--conntrack-min: -1 is not between 0 and 2147483647"),
            ("--masquerade-bit=32", "--masquerade-bit: 32 is not between 0 and 31"),  # which counts for two modes
        ],
    )
    def test_that_is_wrong_ends_with_code_2_and_one_line(
        self, capsys: pytest.CaptureFixture[str], flag: str, told: str
    ) -> None:
        assert main(["agent", flag]) == 2
        assert capsys.readouterr().err == f"svcplane agent: {told}\n"


class TestAFile:
    def test_takes_the_place_of_flags_and_says_so(self, file: Path) -> None:
        given = write(file, clusterCIDR="10.244.0.0/16", nftables={"minSyncPeriod": "2s"})
        words = given, "--cluster-cidr=10.9.0.0/16", "--hostname-override=n7", "--logging-format=json"
        found = configured(*words)
        assert (found.cluster_cidr, found.nftables.min_sync_period.seconds) == ("10.244.0.0/16", 2.0)
        assert (found.hostname_override, found.logging.format) == ("n7", "json")
        assert remarks(*words) == ["--cluster-cidr: ignored, as --config is given"]

    def test_that_is_wrong_is_named_with_the_field_s_path(self, file: Path) -> None:
        with pytest.raises(InputError) as raised:
            configured(write(file, conntrack={"min": -1}, detectLocalMode="Guess"))
        assert str(raised.value).splitlines() == [
            f"{file}: conntrack.min: -1 is not between 0 and 2147483647",
            f"{file}: detectLocalMode: 'Guess' is none of ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix",
        ]

    def test_keys_that_are_unknown_or_without_effect_are_remarked(self, file: Path) -> None:
        assert remarks(write(file, nftables={"colour": 1}, ipvs={"excludeCIDRs": ["10.0.0.0/8"]})) == [
            f"{file}: nftables.colour: unknown field",
            f"{file}: ipvs.excludeCIDRs: no effect: what somebody else has made is never removed",
        ]

    def test_that_is_missing_is_named(self, file: Path) -> None:
        with pytest.raises(InputError, match=f"--config: can't read {file}: No such file"):
            configured(f"--config={file}")

    @pytest.mark.usefixtures("logging_stays_as_it_was")
    def test_is_written_whole_and_reads_the_same(self, file: Path) -> None:
        words = "--cluster-cidr=10.244.0.0/16", "--conntrack-udp-timeout=45s"
        assert main(["agent", *words, f"--write-config-to={file}"]) == 0
        assert configured(f"--config={file}") == configured(*words)
        assert yaml.safe_load(file.read_text())["conntrack"]["udpTimeout"] == "45s"


@pytest.mark.usefixtures("logging_stays_as_it_was")
def test_who_only_writes_the_configuration_hears_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", "--ipvs-strict-arp", f"--write-config-to={tmp_path / 'written'}"]) == 0
    assert "--ipvs-strict-arp: no effect" in capsys.readouterr().err


@pytest.fixture
def logging_stays_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_no_two_fields_have_one_flag() -> None:
    flags = [flag for field in FIELDS for flag in field.flags]
    assert len(flags) == len(set(flags))


@pytest.mark.usefixtures("logging_stays_as_it_was")
def test_a_line_of_json_has_what_the_call_gave() -> None:
    stream = io.StringIO()
    set_up_logging("json", 2, stream)
    logging.getLogger("controller.agent").info("synced %s", "web", extra={"operations": 7})
    logging.getLogger("controller.agent").debug("not at this verbosity")
    [line] = map(json.loads, stream.getvalue().splitlines())
    assert line.pop("ts") > 0
    assert line == {"level": "info", "logger": "controller.agent", "msg": "synced web", "operations": 7}


def test_credentials_that_can_not_be_read_are_told_before_anything_on_the_host_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    touched: list[object] = []
    monkeypatch.setattr("svcplane.agent._may_program_the_network", lambda: True)
    monkeypatch.setattr("svcplane.agent._set_up_host", touched.append)
    assert main(["agent", "--kubeconfig", str(tmp_path / "none")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert touched == []
