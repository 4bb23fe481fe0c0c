"""From kube-proxy to the agent and back, on a node that serves connections the whole time.

With a real kube-proxy if SVCPLANE_KUBE_PROXY names one (older than v1.22: it is told by Endpoints), and with rules in
the shape of its nftables mode.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fault import fault
from lab.cluster.down import down
from lab.network.namespace import Namespace
from patience import PATIENCE

pytestmark = pytest.mark.kernel

VIP, NODE = "10.96.0.80", "192.0.2.1"
CLUSTER = f"""
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  type: NodePort
  clusterIP: {VIP}
  ports: [{{port: 80, targetPort: 8080, nodePort: 30080}}]
---
apiVersion: v1
kind: Endpoints
metadata: {{name: web}}
subsets: [{{addresses: [{{ip: {NODE}, nodeName: n1}}], ports: [{{port: 8080}}]}}]
"""

# Sends back whatever comes, on every connection, for as long as it is open.
ECHO = f"""
import socket, threading
def serve(connection):
    while data := connection.recv(4096):
        connection.sendall(data)
listening = socket.create_server(("{NODE}", 8080), backlog=64)
while True:
    threading.Thread(target=serve, args=listening.accept()[:1], daemon=True).start()
"""

OF_KUBE_PROXY_S_NFTABLES_MODE = f"""
table ip kube-proxy {{
    map service-ips {{
        type ipv4_addr . inet_proto . inet_service : verdict
    }}
    chain nat-output {{
        type nat hook output priority -100
        jump services
    }}
    chain services {{
        ip daddr . meta l4proto . th dport vmap @service-ips
    }}
    chain service-ULMVA6XW-default/web/tcp/ {{
        meta l4proto tcp dnat to {NODE}:8080
    }}
}}
table ip6 kube-proxy {{
}}
add element ip kube-proxy service-ips {{ {VIP} . tcp . 80 : goto service-ULMVA6XW-default/web/tcp/ }}
"""


class Traffic:
    """Connections through the Service: one that is never closed, and new ones again and again, from the node."""

    def __init__(self, machine: Namespace) -> None:
        self._machine = machine
        self._kept = machine.call(lambda: socket.create_connection((VIP, 80), timeout=PATIENCE))
        self._done = threading.Event()
        self.answered = 0
        self.failures: list[str] = []
        self._thread = threading.Thread(target=lambda: machine.call(self._run))
        self._thread.start()

    def _run(self) -> None:
        while not self._done.is_set():
            self._ask(lambda: self._speak(self._kept), "a connection that was open broke")
            self._ask(self._connect, "a new connection was not served")
            time.sleep(0.005)  # a port waits for a minute after each: they must last

    def _connect(self) -> None:
        with socket.create_connection((VIP, 80), timeout=PATIENCE) as connection:
            self._speak(connection)

    @staticmethod
    def _speak(connection: socket.socket) -> None:
        connection.sendall(b"hello")
        if connection.recv(16) != b"hello":
            raise ConnectionError("closed")

    def _ask(self, what: Callable[[], None], failure: str) -> None:
        try:
            what()
            self.answered += 1
        except OSError as error:
            self.failures.append(f"{failure}: {error}")

    def stop(self) -> None:
        self._done.set()
        self._thread.join()
        self._kept.close()


class Node:
    """Node n1 of a lab without agents, on which something listens behind the Service."""

    def __init__(self, lab: str, folder: Path) -> None:
        self.machine = Namespace(lab, "n1")
        self.kubeconfig = f"/run/svcplane/{lab}/node.kubeconfig"
        self.folder = folder
        self.log = folder / "log"
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str, path: str = "") -> subprocess.Popen[bytes]:
        environment = dict(os.environ, PATH=f"{path}{os.pathsep}{os.environ['PATH']}" if path else os.environ["PATH"])
        with self.log.open("ab") as log:
            command = ["ip", "netns", "exec", self.machine.name, *words]
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self._running.append(process)
        return process

    def start_agent(self, *flags: str) -> subprocess.Popen[bytes]:
        return self.start(
            *(sys.executable, "-m", "svcplane.main", "agent", f"--kubeconfig={self.kubeconfig}"),
            *("--hostname-override=n1", "--cluster-cidr=10.244.0.0/16", *flags),
        )

    def start_kube_proxy(self) -> subprocess.Popen[bytes]:
        path = os.environ.get("SVCPLANE_KUBE_PROXY")
        if path is None:
            pytest.skip("SVCPLANE_KUBE_PROXY names no kube-proxy")
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        for program in ("iptables", "ip6tables"):
            for part in ("", "-save", "-restore"):
                legacy = shutil.which(f"{program}-legacy{part}")
                if legacy is None:
                    pytest.skip(f"needs {program}-legacy{part}")
                if not (programs / (program + part)).exists():
                    (programs / (program + part)).symlink_to(legacy)
        return self.start(
            *(path, f"--kubeconfig={self.kubeconfig}", "--hostname-override=n1", "--cluster-cidr=10.244.0.0/16"),
            *("--proxy-mode=iptables", "--feature-gates=EndpointSliceProxying=false", "--conntrack-max-per-core=0"),
            *("--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"),
            path=str(programs),
        )

    def end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        process.wait(2 * PATIENCE)

    def end_all(self) -> None:
        for process in self._running:
            process.kill()
            process.wait(2 * PATIENCE)
        for mode in ("nftables", "iptables"):
            cleanup = [sys.executable, "-m", "svcplane.main", "agent", "--cleanup", f"--proxy-mode={mode}"]
            self.machine.run(cleanup, capture_output=True)

    def output(self, *command: str) -> str:
        return str(self.machine.run(list(command), capture_output=True, text=True).stdout)

    @property
    def chains(self) -> bool:
        """Whether a Service proxy's chains are in iptables-legacy."""
        return "KUBE-SERVICES" in self.output("iptables-legacy-save")

    @property
    def tables(self) -> set[str]:
        return {line.split()[-1] for line in self.output("nft", "list", "tables").splitlines()}

    def serves(self) -> bool:
        def ask() -> bool:
            try:
                with socket.create_connection((VIP, 80), timeout=2) as connection:
                    connection.sendall(b"?")
                    return connection.recv(1) == b"?"
            except OSError:
                return False

        return self.machine.call(ask)

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 2 * PATIENCE
        while not holds():
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.02)


@pytest.fixture(scope="module")
def lab() -> Iterator[str]:
    name = f"test-{os.getpid()}-takeover"
    command = [sys.executable, "-m", "svcplane.main", "lab"]
    subprocess.run([*command, "up", "--name", name, "--nodes", "1", "--proxy-mode", "none"], check=True, timeout=100)
    try:
        apply = [*command, "apply", "--name", name, "-f", "-"]
        subprocess.run(apply, input=CLUSTER, text=True, check=True, timeout=60)
        yield name
    finally:
        down(name)


@pytest.fixture
def node(lab: str, tmp_path: Path) -> Iterator[Node]:
    node = Node(lab, tmp_path)
    node.start(sys.executable, "-c", ECHO)
    yield node
    node.end_all()


@pytest.fixture
def traffic(node: Node) -> Iterator[Callable[[], Traffic]]:
    started: list[Traffic] = []

    def start() -> Traffic:
        started.append(Traffic(node.machine))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def more(traffic: Traffic, count: int = 50) -> Callable[[], bool]:
    """Whether so many more have been answered since this was called."""
    goal = traffic.answered + count
    return lambda: traffic.answered >= goal or bool(traffic.failures)


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_an_agent_takes_over_from_a_kube_proxy_and_gives_back_and_no_connection_is_lost(
    node: Node, traffic: Callable[[], Traffic], mode: str
) -> None:
    theirs = node.start_kube_proxy()
    node.until(node.serves)
    flowing = traffic()
    node.until(more(flowing))

    node.end(theirs)
    variant = ("--iptables-variant=legacy",) if mode == "iptables" else ()
    ours = node.start_agent(f"--proxy-mode={mode}", *variant)
    if mode == "nftables":
        node.until(lambda: not node.chains)
        assert "svcplane" in node.tables
    else:
        node.until(lambda: "synced" in node.log.read_text())
        assert node.chains
    node.until(more(flowing))

    node.end(ours)
    theirs = node.start_kube_proxy()
    node.until(lambda: node.chains)
    node.until(more(flowing))
    if mode == "nftables":
        node.output(sys.executable, "-m", "svcplane.main", "agent", "--cleanup")
        assert "svcplane" not in node.tables
    node.until(more(flowing))
    assert flowing.failures == []
    assert node.chains


@fault(
    "the configuration file names another mode",
    place=185,
    seen="nothing: the new mode's rules come first, then the old ones go; open connections go on (SCTP not "
    "into userspace or out of it)",
    well="2 s at most until it is noticed, and one full sync",
    kube_proxy="ends, and leaves the old mode's rules to its successor: removed before the new ones are in",
)
def test_another_mode_in_the_file_is_taken_up_and_no_connection_is_lost(
    node: Node, traffic: Callable[[], Traffic]
) -> None:
    config = node.folder / "config.yaml"

    def write(mode: str) -> None:
        head = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": mode}
        new = config.with_suffix(".new")
        new.write_text(json.dumps({**head, "clientConnection": {"kubeconfig": node.kubeconfig}}))
        new.rename(config)

    write("nftables")
    node.start_agent(f"--config={config}", "--iptables-variant=legacy")
    node.until(node.serves)
    flowing = traffic()
    for mode in ("iptables", "nftables", "iptables"):
        node.until(more(flowing))
        write(mode)
        node.until(lambda mode=mode: node.chains == (mode == "iptables") and ("svcplane" in node.tables) != node.chains)
    node.until(more(flowing))
    assert flowing.failures == []


@fault(
    "kube-proxy ran here before",
    place=206,
    seen="nothing: its rules serve until ours are in force, and go then (`--keep-kube-proxy-rules`: stay); open "
    "connections go on",
    well="the first sync",
    kube_proxy="removes what other modes have left before its own rules are in",
)
def test_the_tables_of_its_nftables_mode_go_once_ours_are_in(node: Node, traffic: Callable[[], Traffic]) -> None:
    node.machine.run(["nft", "-f", "-"], input=OF_KUBE_PROXY_S_NFTABLES_MODE, text=True, check=True)
    node.until(node.serves)
    flowing = traffic()
    node.until(more(flowing))
    node.start_agent()
    node.until(lambda: node.tables == {"svcplane"})
    node.until(more(flowing))
    assert flowing.failures == []


def test_or_stay_if_the_operator_wants_them(node: Node) -> None:
    node.machine.run(["nft", "-f", "-"], input=OF_KUBE_PROXY_S_NFTABLES_MODE, text=True, check=True)
    try:
        node.start_agent("--keep-kube-proxy-rules")
        node.until(lambda: "synced" in node.log.read_text())
        assert node.tables == {"svcplane", "kube-proxy"}
    finally:
        node.output("nft", "delete table ip kube-proxy; delete table ip6 kube-proxy")


def test_before_ours_are_in_force_nothing_of_theirs_goes(node: Node) -> None:
    """The API server is not there: the agent has nothing to put in their place."""
    node.machine.run(["nft", "-f", "-"], input=OF_KUBE_PROXY_S_NFTABLES_MODE, text=True, check=True)
    try:
        node.start_agent("--master=http://192.0.2.99:1", "--metrics-bind-address=127.0.0.1:10299")
        node.until(lambda: "192.0.2.99" in node.log.read_text())
        assert node.serves()
        assert "kube-proxy" in node.tables
    finally:
        node.output("nft", "delete table ip kube-proxy; delete table ip6 kube-proxy")


@fault(
    "kube-proxy ran here before, in IPVS mode",
    place=207,
    seen="new connections are ours; its virtual servers and rules stay, as open connections need them; a line of the "
    "log",
    well="`kube-proxy --cleanup`, then the agent's next start",
    kube_proxy="nftables mode ends those connections; iptables mode leaves all of it",
)
def test_what_its_ipvs_mode_left_stays_for_the_connections_that_need_it(node: Node) -> None:
    node.output("ip", "link", "add", "kube-ipvs0", "type", "bridge")
    node.output("iptables-legacy", "-w", "-t", "nat", "-N", "KUBE-SERVICES")
    assert node.chains
    agent = node.start_agent()
    node.until(lambda: "kube-proxy's IPVS mode has left its virtual servers here" in node.log.read_text())
    node.until(node.serves)
    assert node.chains
    node.end(agent)
    node.output("ip", "link", "delete", "kube-ipvs0")
    node.start_agent()
    node.until(lambda: not node.chains)
    assert node.serves()
