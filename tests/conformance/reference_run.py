"""A case without packets: the reference decides for every probe, and all that chance could do is tried."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from random import Random
from urllib.parse import urlsplit

from conformance.cases import Case, Expectation, Probe
from conformance.client_view import first_packet, fresh_state, observe
from conformance.control_plane import ControlPlane
from conformance.observed import missing, surprises
from conformance.setting import NAMES
from dataplane.reference import Decision, Packet, decide
from dataplane.table import Family, ForwardingTable
from flows import every_decision

MODE = "nftables"  #: whose expectations count where modes differ


@dataclass
class ReferenceRun:
    """One case's world: its table, and what n1 remembers."""

    case: Case
    table: ForwardingTable = field(default_factory=ForwardingTable)
    held: dict[str, Packet] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._control_plane = ControlPlane(self.case)
        self._state = fresh_state()
        self._chance = Random(self.case.name)
        self._ports = count(32768)

    def run(self) -> list[str]:
        """Everything that is not as expected, in words."""
        failures = []
        for number, step in enumerate(self.case.steps):
            self._program(self._control_plane.take(step))
            for probe in step.probes:
                for failure in self._run(probe, probe.expectation(MODE)):
                    failures.append(f"step {number}, {probe}: {failure}")
        return failures

    def _program(self, table: ForwardingTable) -> None:
        self.table = table
        self._state = self._state.settled(table)

    def _run(self, probe: Probe, expected: Expectation) -> list[str]:
        if probe.http:
            return self._compare_health(probe.http, expected)
        if probe.ping:
            return []
        if probe.held is not None:
            return self._compare_held(self.held[probe.held], expected)
        if probe.hold is not None:
            self.held[probe.hold] = sent = first_packet(probe, next(self._ports))
            self._open(sent)
            return self._compare_held(sent, expected)
        possible = every_decision(self.table, first_packet(probe, next(self._ports)), self._state)
        decisions = [self._next(probe, last=number == probe.count - 1) for number in range(probe.count)]
        happened = observe(probe, decisions)
        failures = surprises(happened, expected)
        if any(decision.remember for decision in possible):
            failures += missing(happened, expected)
        else:
            everything = observe(probe, possible)
            failures += surprises(everything, expected) + missing(everything, expected)
        if expected.fair and len({decision.probability for decision in possible}) != 1:
            failures.append("the backends are not equally likely")
        return failures

    def _next(self, probe: Probe, *, last: bool) -> Decision:
        decision = self._open(first_packet(probe, next(self._ports)))
        if not last:
            self._state = self._state.at(self._state.now + probe.every)
        return decision

    def _open(self, sent: Packet) -> Decision:
        decision = decide(self.table, sent, self._state, self._chance.randrange)
        self._state = self._state.after(sent, decision)
        return decision

    def _compare_health(self, url: str, expected: Expectation) -> list[str]:
        asked = urlsplit(url)
        family = Family.of(asked.hostname or "")
        counts = [
            check.local_endpoints
            for checks in self._control_plane.health_checks.values()
            for check in checks
            if (check.family, check.port) == (family, asked.port)
        ]
        got = (str(200 if counts[0] else 503), counts[0]) if counts else ("refused", None)
        wanted = (expected.http, expected.local_endpoints)
        return [] if got == wanted else [f"{got} instead of {wanted}"]

    def _compare_held(self, sent: Packet, expected: Expectation) -> list[str]:
        decision = self._open(sent)
        got = (NAMES.get(decision.packet.destination.address), decision.packet.source.address)
        return [] if got == (expected.pod, expected.peer) else [f"{got} instead of {(expected.pod, expected.peer)}"]
