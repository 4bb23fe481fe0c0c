"""A case without packets: the executable specification decides for every probe, and all that chance could do is tried.

`decide` says what n1 does with a packet. What a client notices of that is worked out here: who answers, whether the
answer finds its way back, and which error a refusal turns into.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from random import Random

from conformance.cases import Case, Expectation, Probe
from conformance.control_plane import ControlPlane
from conformance.observed import Observed, missing, surprises
from conformance.setting import INTERFACE_ADDRESSES, NAMES, NODE_OF, SERVERS, address_of
from dataplane.reference import Decision, Outcome, Packet, State, decide
from dataplane.table import Endpoint, Family, ForwardingTable, Protocol
from flows import every_decision
from lab.network.network import pod_interface

MODE = "nftables"  #: whose expectations count where modes differ


@dataclass
class ReferenceRun:
    """One case's world: its table, and what n1 remembers."""

    case: Case
    table: ForwardingTable = field(default_factory=ForwardingTable)
    held: dict[str, Packet] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._state = State(frozenset(INTERFACE_ADDRESSES), {family: address_of("n1", family) for family in Family})
        self._chance = Random(self.case.name)
        self._ports = count(32768)

    def run(self) -> list[str]:
        """Everything that is not as expected, in words. Health check ports are not looked at."""
        control_plane, failures = ControlPlane(self.case), []
        for number, step in enumerate(self.case.steps):
            self.table = control_plane.take(step)
            self._state = self._state.settled(self.table)
            for probe in step.probes:
                for failure in self._run(probe, probe.expectation(MODE)):
                    failures.append(f"step {number}, {probe}: {failure}")
        return failures

    def _run(self, probe: Probe, expected: Expectation) -> list[str]:
        if probe.http or probe.ping:
            return []
        if probe.held is not None:
            return self._compare_held(self.held[probe.held], expected)
        if probe.hold is not None:
            self.held[probe.hold] = sent = self._packet(probe)
            self._open(sent)
            return self._compare_held(sent, expected)
        possible = every_decision(self.table, self._packet(probe), self._state)
        decisions = [self._next(probe, last=number == probe.count - 1) for number in range(probe.count)]
        happened = self._observe(probe, decisions)
        failures = surprises(happened, expected)
        if any(decision.remember for decision in possible):
            failures += missing(happened, expected)
        else:
            everything = self._observe(probe, possible)
            failures += surprises(everything, expected) + missing(everything, expected)
        if expected.fair and len({decision.probability for decision in possible}) != 1:
            failures.append("the backends are not equally likely")
        return failures

    def _packet(self, probe: Probe) -> Packet:
        family = Family.of(probe.destination)
        source = probe.source_address or address_of(probe.source, family)
        if probe.source == "n1":
            interface = None
        else:
            interface = pod_interface(probe.source) if NODE_OF.get(probe.source) == "n1" else "eth0"
        return Packet(
            Endpoint(source, probe.source_port or next(self._ports)),
            Endpoint(probe.destination, probe.port),
            Protocol(probe.protocol),
            interface,
        )

    def _next(self, probe: Probe, *, last: bool) -> Decision:
        decision = self._open(self._packet(probe))
        if not last:
            self._state = self._state.at(self._state.now + probe.every)
        return decision

    def _open(self, sent: Packet) -> Decision:
        decision = decide(self.table, sent, self._state, self._chance.randrange)
        self._state = self._state.after(sent, decision)
        return decision

    def _compare_held(self, sent: Packet, expected: Expectation) -> list[str]:
        decision = self._open(sent)
        got = (NAMES.get(decision.packet.destination.address), decision.packet.source.address)
        return [] if got == (expected.pod, expected.peer) else [f"{got} instead of {(expected.pod, expected.peer)}"]

    def _observe(self, probe: Probe, decisions: list[Decision] | tuple[Decision, ...]) -> Observed:
        seen = Observed()
        for decision in decisions:
            error = client_error(decision, on_node=probe.source == "n1")
            if error is None:
                seen.pods[NAMES[decision.packet.destination.address]] += 1
                source = decision.packet.source.address
                seen.sources.add(NAMES.get(source, source))
            else:
                seen.errors.add(error)
        return seen


def client_error(decision: Decision, *, on_node: bool) -> str | None:
    """What the client's socket meets, or None if a pod answers it."""
    if decision.outcome in (Outcome.FORWARD, Outcome.PASS):
        return _error_at(decision)
    rejected = decision.outcome is Outcome.REJECT
    # What this node itself sends is refused on its way out; only NodePorts are looked at on the way in.
    in_output = on_node and not (decision.frontend is not None and decision.frontend.key.is_node_port)
    if in_output and decision.packet.protocol is Protocol.UDP:
        return "EPERM"
    return "refused" if rejected else "timeout"


def _error_at(decision: Decision) -> str | None:
    """Where the packet went nobody may be, or the answer may take another way and not be known to the client."""
    destination = decision.packet.destination
    machine = NAMES.get(destination.address)
    if machine is None:
        return "refused" if destination.address in INTERFACE_ADDRESSES else "timeout"
    if destination.port not in SERVERS.get(machine, ()):
        return "refused"
    if decision.outcome is Outcome.PASS:
        return None
    source = NAMES.get(decision.packet.source.address, "")
    comes_back_here = decision.masquerade or "n1" in (NODE_OF.get(machine, machine), NODE_OF.get(source, source))
    return None if comes_back_here else "timeout"
