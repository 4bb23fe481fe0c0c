"""A case with real packets: n1's rules are programmed in its namespace, and sockets in the others ask."""

from __future__ import annotations

import contextlib
import json
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from conformance.cases import Case, Expectation, Probe, Step
from conformance.client_view import first_packet, fresh_state
from conformance.control_plane import ControlPlane
from conformance.echo import echoes
from conformance.health_check_thread import HealthCheckThread
from conformance.observed import Observed, is_even, missing, surprises
from conformance.setting import GATEWAY_ADDRESS, NAMES, NODE_OF, SECONDARY_ADDRESS, SERVERS, TOPOLOGY
from dataplane.errors import InputError
from dataplane.interface import Dataplane
from dataplane.iptables import IptablesDataplane
from dataplane.ipvs import IpvsDataplane
from dataplane.nftables import NftablesDataplane
from dataplane.reference import Outcome, decide
from dataplane.table import ForwardingTable
from dataplane.userspace.dataplane import UserspaceDataplane
from dataplane.userspace.limits import Limits
from dataplane.userspace.queue_reader import package
from dataplane.userspace.xdp.options import XdpOptions
from kernel_features import lacks_ipvs
from lab.network import probe as client
from lab.network.namespace import Namespace
from lab.network.network import Network
from lab.pod.processes import Processes
from patience import PATIENCE

MOST_ROUNDS = 8
"""How often a probe is repeated until every pod that should answer has. With 24 tries a round and four pods, chance
makes a whole run miss one of them less than once in 10^20."""

TIMEOUT = 0.5  #: seconds; answers take a few milliseconds here
AT_ONCE = 4  #: probes
FEW = 4  #: tries in a round that goes on until two pods have answered


class ClosableDataplane(Dataplane, Protocol):
    def close(self) -> None: ...


@dataclass(frozen=True)
class Mode:
    """One way to carry out a ForwardingTable, and whose expectations count for it where they differ."""

    name: str
    expectations: str
    make: Callable[[], ClosableDataplane]  #: called in n1's namespace
    options: Mapping[str, Any] = field(default_factory=dict)  #: of the node, where the case says nothing
    asks_later: bool = False  #: what this host sends is looked at when send(2) has returned
    each: int = 1  #: of so many cases one is run, unless SVCPLANE_ALL_CASES is set
    lacks: Callable[[], str] = lambda: ""  #: why this kernel cannot do it, in words; "" if it can


OWN_PORTS = "40000-41999"  #: where tests take source ports from; the kernel gives these to nobody who has not asked
SMALL = Limits(4096, 1024, 256, 256, 1024, 1024, 256, 256, 1024, 1024)  #: enough for every case
_ALL_ADDRESSES = {"node_port_addresses": ["0.0.0.0/0", "::/0"]}  #: the default of iptables mode


def _lacks_netfilterqueue() -> str:
    try:
        package()
    except InputError as error:
        return str(error)
    return ""


MODES = (
    Mode("nftables", "nftables", NftablesDataplane),
    Mode("iptables-legacy", "iptables", partial(IptablesDataplane, "legacy"), _ALL_ADDRESSES),
    Mode("iptables-nft", "iptables", partial(IptablesDataplane, "nft"), _ALL_ADDRESSES),
    Mode("userspace", "nftables", partial(UserspaceDataplane, limits=SMALL), asks_later=True),
    Mode("userspace-xdp", "nftables", partial(UserspaceDataplane, limits=SMALL, xdp=XdpOptions()), asks_later=True),
    Mode(
        "userspace-python",
        "nftables",
        partial(UserspaceDataplane, limits=SMALL, in_python=True),
        asks_later=True,
        each=6,
        lacks=_lacks_netfilterqueue,
    ),
    Mode("ipvs", "nftables", IpvsDataplane, lacks=lacks_ipvs),
)


@contextlib.contextmanager
def network(name: str, logs: Path) -> Iterator[Network]:
    """The network of `setting`, with a server in every pod."""
    made = Network(name, TOPOLOGY).create()
    try:
        with Processes() as processes:
            for pod, ports in SERVERS.items():
                node = NODE_OF.get(pod, pod)
                processes.start_pod(pod, made[pod], log=str(logs / pod), node=node, tcp_ports=ports, udp_ports=ports)
            _give_n1_its_other_addresses(made["n1"])
            for machine in made.machines.values():
                machine.set_parameters({"net/ipv4/ip_local_reserved_ports": OWN_PORTS})
            processes.wait_listening(list(SERVERS), timeout=12 * PATIENCE)
            yield made
    finally:
        made.delete()


def _give_n1_its_other_addresses(n1: Namespace) -> None:
    # Scope link: never chosen as a source, also not when masquerading through a pod's cable, which has no address.
    n1.run(["ip", "address", "add", f"{GATEWAY_ADDRESS}/32", "dev", "lo", "scope", "link"])
    n1.run(["ip", "address", "add", f"{SECONDARY_ADDRESS}/24", "dev", "eth0"])


@dataclass
class PacketRun:
    """One case in one mode. Leaves n1 without rules and without known flows."""

    case: Case
    mode: Mode
    machines: Network
    held: dict[str, HeldConnection] = field(default_factory=dict)
    table: ForwardingTable = field(default_factory=ForwardingTable)

    def run(self) -> list[str]:
        """Everything that is not as expected, in words."""
        failures = []
        with self._programming() as take, contextlib.ExitStack() as stack:
            stack.callback(self._hang_up)
            for number, step in enumerate(self.case.steps):
                self.table = take(step)
                at_once = AT_ONCE if _do_not_touch_each_other(step, self.table) else 1
                with ThreadPoolExecutor(at_once) as threads:
                    for probe, wrong in zip(step.probes, threads.map(self._run, step.probes), strict=True):
                        failures += [f"step {number}, {probe}: {failure}" for failure in wrong]
        return failures

    def _hang_up(self) -> None:
        for connection in self.held.values():
            connection.close()

    @contextlib.contextmanager
    def _programming(self) -> Iterator[Callable[[Step], ForwardingTable]]:
        """What is called with each step, and has it in force when it returns."""
        n1 = self.machines["n1"]
        dataplane = n1.call(self.mode.make)
        control_plane = ControlPlane(self.case, self.mode.options)
        health_checks = HealthCheckThread(n1)

        def take(step: Step) -> ForwardingTable:
            nonlocal dataplane
            table = control_plane.take(step)
            if step.restart:
                dataplane.close()
                dataplane = n1.call(self.mode.make)
            n1.call(partial(dataplane.apply, table))
            health_checks.update(control_plane.health_checks, table.node_addresses)
            return table

        try:
            yield take
        finally:
            health_checks.close()
            n1.call(dataplane.cleanup)
            n1.call(forget_flows)
            dataplane.close()

    def _run(self, probe: Probe) -> list[str]:
        expected = self._expectation(probe)
        if probe.http:
            return self._compare_health(probe, expected)
        if probe.ping:
            wait = PATIENCE if expected.ping else TIMEOUT
            answered = self.machines[probe.source].call(lambda: echoes(probe.ping or "", wait))
            return [] if answered is expected.ping else [f"echo answered: {answered}"]
        if probe.held is not None:
            return self._compare_held(self.held[probe.held], expected)
        if probe.hold is not None:
            machine = self.machines[probe.source]
            self.held[probe.hold] = held = HeldConnection(machine, probe.destination, probe.port)
            return self._compare_held(held, expected)
        return self._send(probe, expected)

    def _expectation(self, probe: Probe) -> Expectation:
        """What is expected in this mode.

        The kernel's rules refuse what this host sends within send(2). An engine looks at it later: then a refusal
        comes as an answer, and silence is silence.
        """
        expected = probe.expectation(self.mode.expectations)
        if not self.mode.asks_later or expected.err != {"EPERM"}:
            return expected
        decision = decide(self.table, first_packet(probe, 40000), fresh_state(), lambda count: 0)
        error = "refused" if decision.outcome is Outcome.REJECT else "timeout"
        return msgspec.structs.replace(expected, err=frozenset({error}))

    def _send(self, probe: Probe, expected: Expectation) -> list[str]:
        seen = Observed()
        for _ in range(MOST_ROUNDS):
            seen.add(self._round(probe, expected))
            if wrong := surprises(seen, expected):
                return [*wrong, str(seen)]
            if not missing(seen, expected):
                break
        else:
            return [*missing(seen, expected), str(seen)]
        if expected.fair and not is_even(seen.pods):
            return [f"uneven: {dict(seen.pods)}"]
        return []

    def _round(self, probe: Probe, expected: Expectation) -> Observed:
        machine = self.machines[probe.source]
        if expected.many:
            probe = msgspec.structs.replace(probe, count=min(probe.count, FEW))
        seen = ask(machine, probe)
        if expected.err is not None and "timeout" in seen.errors - expected.err:
            # Perhaps it was this machine that was slow, and no answer would have been late otherwise.
            seen = ask(machine, probe, PATIENCE)
        return seen

    def _compare_health(self, probe: Probe, expected: Expectation) -> list[str]:
        asked = urlsplit(probe.http or "")
        try:
            status, body = client.fetch(
                self.machines[probe.source], asked.hostname or "", asked.port or 80, asked.path, PATIENCE
            )
            got = (str(status), json.loads(body)["localEndpoints"])
        except OSError as error:
            got = (client.error_kind(error), None)
        wanted = (expected.http, expected.local_endpoints)
        return [] if got == wanted else [f"{got} instead of {wanted}"]

    def _compare_held(self, held: HeldConnection, expected: Expectation) -> list[str]:
        got = held.ask()
        return [] if got == (expected.pod, expected.peer) else [f"{got} instead of {(expected.pod, expected.peer)}"]


def _do_not_touch_each_other(step: Step, table: ForwardingTable) -> bool:
    """Whether the order of a step's probes does not matter: none of them leaves anything behind that another meets."""
    if any(pool.affinity for frontend in table.frontends.values() for pool in frontend.pools):
        return False
    return not any(p.hold or p.held or p.source_port or p.serial or p.every for p in step.probes)


def ask(machine: Namespace, probe: Probe, timeout: float = TIMEOUT, source_ports: tuple[int, ...] = ()) -> Observed:
    """What the probe's client sees this time, waiting so many seconds for each answer.

    Its tries come from `source_ports`, in turn, or from the probe's own, or from any free ones.
    """
    asked = client.Probe(
        probe.destination,
        probe.port,
        probe.protocol.lower(),
        probe.count,
        bool(probe.serial),
        probe.every,
        source_ports or (() if probe.source_port is None else (probe.source_port,)),
        probe.source_address,
        timeout,
    )
    outcome = client.run_probe(machine, asked)
    return Observed(Counter(outcome.pods), {NAMES.get(peer, peer) for peer in outcome.peers}, set(outcome.errors))


class HeldConnection:
    """A TCP connection that stays open, to be asked again who answers and whom they see."""

    def __init__(self, machine: Namespace, address: str, port: int) -> None:
        self._socket = machine.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self._socket.settimeout(PATIENCE)  # whoever asks here expects an answer
        self._socket.connect((address, port))
        self._lines = self._socket.makefile("rw")

    def ask(self) -> tuple[str, str]:
        self._lines.write("who\n")
        self._lines.flush()
        pod, peer, _ = self._lines.readline().split()
        return pod, peer

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class HeldFlow:
    """The same with datagrams from one port, which are sent again if one is lost."""

    def __init__(self, machine: Namespace, address: str, port: int) -> None:
        self._socket = machine.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(TIMEOUT)
        self._socket.connect((address, port))

    def ask(self) -> tuple[str, str]:
        for _ in range(round(PATIENCE / TIMEOUT)):
            self._socket.send(b"who\n")
            with contextlib.suppress(TimeoutError):
                pod, peer, _ = self._socket.recv(1 << 10).decode().split()
                return pod, peer
        raise TimeoutError(f"no answer in {PATIENCE:g} s")

    def close(self) -> None:
        self._socket.close()


def forget_flows() -> None:
    """Empty the connection tracking table of the namespace that the calling thread is in."""
    with contextlib.closing(NFCTSocket()) as conntrack:
        conntrack.flush()
