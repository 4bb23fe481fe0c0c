"""The agent as operators run it: a process on a node of a lab, with kube-proxy's file, asked by packets."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from fault import fault
from lab.cluster.down import down
from lab.network.namespace import Namespace
from patience import PATIENCE

pytestmark = pytest.mark.kernel

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  clusterIP: 10.96.0.80
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080, protocol: TCP}]
endpoints: [{addresses: [192.0.2.1], nodeName: n1, conditions: {ready: true}}]
"""

# Answers every connection at once with a line; needs nothing but Python.
SERVER = """
import socket
listening = socket.create_server(("192.0.2.1", 8080), backlog=64)
while True:
    connection, _ = listening.accept()
    connection.sendall(b"here\\n")
    connection.close()
"""

# Has the port that the agent's metrics want.
STRANGER = """
import signal, socket
listening = socket.create_server(("127.0.0.1", 10249))
print("listening", flush=True)
signal.pause()
"""

# The time of day and the time since the start, with what the file says added to them: in seconds, read anew each time.
CLOCK = """
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    long day = 0, start = 0;
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    FILE *file = clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC ? fopen(getenv("CLOCK_OFFSETS"), "r") : NULL;
    if (file) {
        if (fscanf(file, "%ld %ld", &day, &start) == 2)
            now->tv_sec += clock == CLOCK_REALTIME ? day : start;
        fclose(file);
    }
    return result;
}
"""

HEALTHZ = "http://127.0.0.1:10256/healthz"

#: As in the DaemonSet's container: kernel settings cannot be written there, and modes may need one capability more.
SETTINGS_READ_ONLY = ("unshare", "--mount", "sh", "-c", 'mount -o bind,ro /proc/sys /proc/sys && exec "$0" "$@"')
ONLY_NET_ADMIN = ("setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all,+net_admin", "--no-new-privs")
NET_ADMIN_AND_RAW = tuple(word.replace("+net_admin", "+net_admin,+net_raw") for word in ONLY_NET_ADMIN)


class Node:
    """Node n1 of a lab without agents of its own."""

    def __init__(self, lab: str, folder: Path) -> None:
        self.machine = Namespace(lab, "n1")
        self.kubeconfig = f"/run/svcplane/{lab}/node.kubeconfig"
        self.config = folder / "config.yaml"
        self.log = folder / "log"
        self._running: list[subprocess.Popen[bytes]] = []

    def write_config(self, **fields: object) -> None:
        head = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration"}
        new = self.config.with_suffix(".new")
        new.write_text(yaml.safe_dump({**head, "clientConnection": {"kubeconfig": self.kubeconfig}, **fields}))
        new.rename(self.config)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            argv = ["ip", "netns", "exec", self.machine.name, *words]
            process = subprocess.Popen(argv, stdout=log, stderr=log)
        self._running.append(process)
        return process

    def start_agent(self, *wrapper: str, flags: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        agent = (sys.executable, "-m", "svcplane.main", "agent", f"--config={self.config}", "--hostname-override=n1")
        return self.start(*wrapper, *agent, *flags)

    def stop_all(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.wait(2 * PATIENCE)

    def get(self, url: str) -> bytes | None:
        """None if there is no answer."""

        def ask() -> bytes | None:
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
                return bytes(answer.read())
            return None

        return self.machine.call(ask)

    def serves(self, address: str, port: int = 80) -> bool:
        """As `reaches`, where an answer must come, however late."""
        return self.reaches(address, port, seconds=PATIENCE)

    def reaches(self, address: str, port: int = 80, seconds: float = 2) -> bool:
        """Whether a process on the node gets an answer there in time."""

        def connect() -> bool:
            try:
                with socket.create_connection((address, port), timeout=seconds) as connection:
                    return connection.recv(16) == b"here\n"
            except OSError:
                return False

        return self.machine.call(connect)

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 2 * PATIENCE
        while not holds():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def rules(self) -> str:
        return self.machine.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def lab() -> Iterator[str]:
    name = f"test-{os.getpid()}-agent"
    command = [sys.executable, "-m", "svcplane.main", "lab"]
    subprocess.run([*command, "up", "--name", name, "--nodes", "1", "--proxy-mode", "none"], check=True, timeout=100)
    try:
        apply = [*command, "apply", "--name", name, "-f", "-"]
        subprocess.run(apply, input=SERVICE, text=True, check=True, timeout=60)
        yield name
    finally:
        down(name)


def set_ready(lab: str, ready: bool) -> None:
    """Whether the Service's one endpoint is."""
    apply = [sys.executable, "-m", "svcplane.main", "lab", "apply", "--name", lab, "-f", "-"]
    wanted = SERVICE.replace("ready: true", f"ready: {str(ready).lower()}")
    subprocess.run(apply, input=wanted, text=True, check=True, timeout=60, capture_output=True)


@pytest.fixture
def node(lab: str, tmp_path: Path) -> Iterator[Node]:
    node = Node(lab, tmp_path)
    node.write_config()
    node.start(sys.executable, "-c", SERVER)
    yield node
    node.stop_all()
    node.machine.run([sys.executable, "-m", "svcplane.main", "agent", "--cleanup"], check=True, capture_output=True)


def test_it_serves_from_kube_proxy_s_file_and_what_it_programmed_outlives_it(node: Node) -> None:
    agent = node.start_agent()
    node.until(lambda: node.reaches("10.96.0.80"))
    assert node.get("http://127.0.0.1:10249/proxyMode") == b"nftables"
    shown = json.loads(node.get("http://127.0.0.1:10249/configz") or b"{}")["kubeproxy.config.k8s.io"]
    assert shown["clientConnection"]["kubeconfig"] == node.kubeconfig
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(2 * PATIENCE) == 0
    assert node.serves("10.96.0.80")


def samples(node: Node, *names: str) -> list[Sample]:
    """Of metrics, as the running agent shows them now, at one moment."""
    text = (node.get("http://127.0.0.1:10249/metrics") or b"").decode()
    return [s for family in text_string_to_metric_families(text) for s in family.samples if s.name in names]


def test_how_full_the_connection_table_is_can_be_seen(node: Node) -> None:
    node.start_agent()
    node.until(lambda: node.reaches("10.96.0.80"))
    node.until(lambda: bool(samples(node, "svcplane_connection_table_entries")))
    (entries,), (limit,) = (samples(node, f"svcplane_connection_table_{name}") for name in ("entries", "limit"))
    assert 0 < entries.value < limit.value


@pytest.mark.parametrize("mode", ["nftables", "userspace"])
def test_traffic_is_counted_by_service_and_backend(node: Node, mode: str) -> None:
    node.write_config(mode=mode)
    node.start_agent()
    node.until(lambda: node.reaches("10.96.0.80"))
    node.until(lambda: node.get("http://127.0.0.1:10249/metrics") is not None)
    for _ in range(5):
        assert node.serves("10.96.0.80")

    def counted(*names: str) -> list[float]:
        """Of the Service, and of all that was forwarded, at one moment."""
        found = samples(node, *names)
        wanted = [s for s in found if s.labels.get("service") == "web" or s.labels.get("outcome") == "forwarded"]
        return [sum(s.value for s in wanted if s.name == name) for name in names]

    node.until(lambda: counted("svcplane_service_connections_total")[0] >= 5)
    headers = 40  # of IPv4 and TCP, on each packet
    packets, size, forwarded = counted(
        "svcplane_backend_packets_total", "svcplane_backend_bytes_total", "svcplane_port_packets_total"
    )
    assert size > headers * packets
    assert (forwarded >= packets) == (mode == "userspace")


@pytest.mark.parametrize("mode", ["nftables", "iptables", "userspace"])
def test_what_the_daemonset_gives_is_enough_after_the_settings_are_made(node: Node, mode: str) -> None:
    node.write_config(mode=mode)
    assert node.start_agent(flags=("--init-only",)).wait(2 * PATIENCE) == 0
    node.start_agent(*SETTINGS_READ_ONLY, *(ONLY_NET_ADMIN if mode == "nftables" else NET_ADMIN_AND_RAW))
    node.until(lambda: node.reaches("10.96.0.80"))


def test_a_changed_file_is_taken_up_while_packets_go_on(node: Node) -> None:
    node.start_agent()
    node.until(lambda: node.reaches("192.0.2.1", 30080))
    before = node.rules()
    node.write_config(nodePortAddresses=["198.51.100.0/24"], nftables={"masqueradeBit": 20})
    answered = []
    node.until(lambda: answered.append(node.serves("10.96.0.80")) or not node.reaches("192.0.2.1", 30080))
    assert answered
    assert all(answered)
    node.until(lambda: node.get("http://127.0.0.1:10256/healthz") is not None)
    assert "0x00004000" in before
    assert "0x00100000" in node.rules()


@fault(
    "the configuration file becomes wrong",
    place=190,
    seen="as it was; a line of the log names the field",
    well="within 2 s of being put right",
    kube_proxy="ends at any change, and again at each start",
)
def test_a_file_that_is_wrong_changes_nothing_until_it_is_put_right(node: Node) -> None:
    node.start_agent()
    node.until(lambda: node.reaches("192.0.2.1", 30080))
    node.write_config(mode="iptables", oomScoreAdj=5000)
    node.until(lambda: "oomScoreAdj: 5000 is not between" in node.log.read_text())
    assert node.serves("192.0.2.1", 30080)
    node.write_config(nodePortAddresses=["198.51.100.0/24"])
    node.until(lambda: not node.reaches("192.0.2.1", 30080))
    assert node.serves("10.96.0.80")


@fault(
    "the configuration file names a mode that this host lacks something for",
    place=192,
    seen="as it was; a line of the log says what is missing",
    well="within 2 s of the file's next change",
    kube_proxy="ends, and again at each start",
)
def test_a_mode_that_this_host_cannot_do_changes_nothing(node: Node) -> None:
    node.start_agent("env", "PATH=/nowhere")  # so there is no iptables
    node.until(lambda: node.reaches("192.0.2.1", 30080))
    node.write_config(mode="iptables")
    node.until(lambda: "not used: --iptables-variant: iptables-save" in node.log.read_text())
    node.until(lambda: node.get("http://127.0.0.1:10249/proxyMode") == b"nftables")
    node.write_config(nodePortAddresses=["198.51.100.0/24"])
    node.until(lambda: not node.reaches("192.0.2.1", 30080))
    assert node.serves("10.96.0.80")


@fault(
    "the agent is killed",
    place=200,
    seen="nothing: the rules stay, and the next agent replaces them in one transaction",
    well="as fast as it is started",
    kube_proxy="the same",
)
def test_killed_and_started_again_it_loses_no_packet(node: Node) -> None:
    agent = node.start_agent()
    node.until(lambda: node.reaches("10.96.0.80"))
    node.until(lambda: node.get("http://127.0.0.1:10256/healthz") is not None)
    agent.kill()
    agent.wait(2 * PATIENCE)
    node.log.write_text("")
    node.start_agent()
    answered = []

    def synced() -> bool:
        answered.append(node.serves("10.96.0.80"))
        return "synced" in node.log.read_text()

    node.until(synced)
    answered += [node.serves("10.96.0.80") for _ in range(20)]
    assert all(answered)


@fault(
    "a port for health or metrics is taken",
    place=160,
    seen="`FailedToStart...` on the Node; Services are served",
    well="within 5 s",
    kube_proxy="the same",
)
def test_ports_that_others_have_are_waited_for(node: Node) -> None:
    stranger = node.start(sys.executable, "-c", STRANGER)
    node.until(lambda: "listening" in node.log.read_text())
    agent = node.start_agent()
    node.until(lambda: "metricsBindAddress: can't listen on 127.0.0.1:10249" in node.log.read_text())
    stranger.kill()
    stranger.wait(2 * PATIENCE)
    assert agent.poll() is None
    node.until(lambda: node.get("http://127.0.0.1:10249/proxyMode") is not None)


def test_or_not_if_the_operator_insists(node: Node) -> None:
    node.start(sys.executable, "-c", STRANGER)
    node.until(lambda: "listening" in node.log.read_text())
    node.write_config(bindAddressHardFail=True)
    assert node.start_agent().wait(2 * PATIENCE) == 2
    assert "can't listen on" in node.log.read_text()


@fault(
    "another agent already runs in the network namespace",
    place=165,
    seen="one line names its process; the one that runs goes on alone",
    well="0.1 s after that one has ended; after a minute the second ends, with exit code 1",
    kube_proxy="both write, for ever",
)
def test_a_second_agent_waits_for_the_first_one_to_end(node: Node) -> None:
    first = node.start_agent()
    node.until(lambda: node.serves("10.96.0.80"))
    second = node.start_agent()
    node.until(lambda: f"waiting for another svcplane agent, process {first.pid}, to end" in node.log.read_text())
    first.send_signal(signal.SIGTERM)
    assert first.wait(2 * PATIENCE) == 0
    node.until(lambda: node.log.read_text().count("synced") == 2)
    assert second.poll() is None


def test_the_mode_can_be_changed_while_packets_go_on(node: Node) -> None:
    def chains() -> bool:
        saved = node.machine.run(["iptables-nft-save"], capture_output=True, text=True).stdout
        return "KUBE-SERVICES" in saved

    def served_until(holds: Callable[[], bool]) -> None:
        def look() -> bool:
            assert node.serves("10.96.0.80")
            return holds()

        node.until(look)

    node.write_config(mode="iptables")
    node.start_agent(flags=("--iptables-variant=nft", "--iptables-layout=tree"))
    node.until(lambda: node.reaches("10.96.0.80"))
    assert node.get("http://127.0.0.1:10249/proxyMode") == b"iptables"
    assert chains()
    assert "svcplane" not in node.rules()
    node.write_config(mode="nftables")
    served_until(lambda: not chains())
    assert "svcplane" in node.rules()
    assert node.serves("10.96.0.80")
    node.write_config(mode="iptables")
    served_until(lambda: "svcplane" not in node.rules())
    assert chains()
    assert node.serves("10.96.0.80")


@fault(
    "the machine's clock jumps, by years, back and forth; the one that nobody sets jumps forth, as after a pause",
    place=115,
    seen="nothing: waiting is measured by a clock that nobody sets; after a pause watches are opened anew",
    well="at once",
    kube_proxy="the health deadline jumps along",
)
def test_a_clock_that_jumps_by_years_stops_nothing(node: Node, lab: str, tmp_path: Path) -> None:
    """The process sees other times: a library put before libc adds what a file says.

    A time namespace would not do: its offsets are fixed once a process is in it, and it leaves the time of day alone.
    """
    library, offsets = tmp_path / "clock.so", tmp_path / "offsets"

    def jump(years: int, paused_hours: int) -> None:
        new = offsets.with_suffix(".new")
        new.write_text(f"{years * 365 * 86400} {paused_hours * 3600}")
        new.rename(offsets)

    jump(0, 0)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"], input=CLOCK, text=True, check=True)
    node.start_agent("env", f"LD_PRELOAD={library}", f"CLOCK_OFFSETS={offsets}")
    node.until(lambda: node.reaches("10.96.0.80"))
    for years, paused_hours, ready in ((30, 0, False), (-20, 0, True), (-20, 1000, False), (0, 2000, True)):
        jump(years, paused_hours)
        year = time.gmtime(time.time() + years * 365 * 86400).tm_year
        node.until(lambda: f'"currentTime": "{year}-' in (node.get(HEALTHZ) or b"").decode())  # noqa: B023
        set_ready(lab, ready)
        node.until(lambda: node.reaches("10.96.0.80") is ready)  # noqa: B023
        node.until(lambda: node.get(HEALTHZ) is not None)
    assert "the server said nothing for too long" in node.log.read_text()  # the pauses were felt


def test_without_a_single_descriptor_more_it_follows_what_it_watches_and_mends_its_rules(node: Node, lab: str) -> None:
    agent = node.start_agent()
    node.until(lambda: node.reaches("10.96.0.80"))
    node.until(lambda: node.get(HEALTHZ) is not None)
    _, hard = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (3, hard))
    for ready in (False, True):
        set_ready(lab, ready)
        node.until(lambda: node.reaches("10.96.0.80") is ready)  # noqa: B023
    node.machine.run(["nft", "flush", "ruleset"], check=True)
    node.until(lambda: node.reaches("10.96.0.80"))
    assert node.get(HEALTHZ) is None  # that would take one
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (hard, hard))
    node.until(lambda: node.get(HEALTHZ) is not None)
    assert agent.poll() is None
