"""The engine and the executable specification: the same decision on every packet.

Both get the same random tables, packets, changes and passing time. Where there is chance, the engine decides first
and the reference is told what came out, so that everything else must agree: outcome, backend, rewritten packet to
the last byte, affinity, and what is forgotten when a table changes.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from any_table import CLIENTS, DESTINATIONS, HOST, INTERFACES, PORTS, SMALL, some_table
from dataplane.reference import Decision, Outcome, Packet, State, decide
from dataplane.steps import Rule, Step
from dataplane.table import (
    Endpoint,
    Family,
    Forward,
    Pick,
    Protocol,
)
from dataplane.userspace.batch import Link
from dataplane.userspace.engine import Engine
from dataplane.userspace.limits import Timeouts
from dataplane.userspace.result import Result
from dataplane.userspace.telling import packet_of, steps
from wire import with_right_checksums, written

# The reference forgets no flow by itself; so neither does the engine here.
FOR_EVER = Timeouts(*[1e12] * 5)

families = st.sampled_from(Family)
seeds = st.integers(0, 2**32)


class SameAsReference(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state = State(HOST.addresses, HOST.egress)
        self.forwarded: list[tuple[Packet, Decision]] = []
        self.ports = iter(range(40000, 65536))

    def teardown(self) -> None:
        """With no table, no number of a backend is held any more: whatever a table takes it gives back."""
        self.engine.cleanup()
        names = self.engine._native.names
        held = (names.tallies.held, names.members.held)
        self.engine.close()
        assert held == (0, 0)

    @initialize(seed=seeds, pick=st.sampled_from(Pick))
    def begin(self, seed: int, pick: Pick) -> None:
        self.pick = pick
        self.engine = Engine(HOST, limits=SMALL, timeouts=FOR_EVER, pick=pick, seed=7)
        self.engine.apply(some_table(seed))

    @rule(seed=seeds)
    def another_table(self, seed: int) -> None:
        table = some_table(seed)
        self.engine.apply(table)
        self.state = self.state.settled(table)

    @rule(seconds=st.integers(1, 30))
    def time_passes(self, seconds: int) -> None:
        self.state = self.state.at(self.state.now + seconds)

    @rule(
        client=st.integers(0, 6),
        where=st.integers(0, 30),
        family=families,
        protocol=st.sampled_from(Protocol),
        interface=st.sampled_from(INTERFACES),
    )
    def somebody_connects(
        self, client: int, where: int, family: Family, protocol: Protocol, interface: str | None
    ) -> None:
        # Every connection has a port of its own: two that clash get different ones from the engine, not here.
        source = Endpoint(CLIENTS[family][client % len(CLIENTS[family])], next(self.ports))
        served = [Endpoint(k.address, k.port) for k in self.engine.table.frontends if k.family is family]
        anything = [Endpoint(address, port) for address in DESTINATIONS[family] for port in (*PORTS, 81)]
        node_ports = [Endpoint(CLIENTS[family][3], port) for port in PORTS]
        places = served + node_ports if where < 20 else anything
        self.send(Packet(source, places[where * 7 % len(places)], protocol, interface))

    @precondition(lambda self: self.forwarded)
    @rule(which=st.integers(0, 100), interface=st.sampled_from(INTERFACES))
    def a_client_goes_on(self, which: int, interface: str | None) -> None:
        packet, _ = self.forwarded[-which % len(self.forwarded)]
        self.send(Packet(packet.source, packet.destination, packet.protocol, interface))

    @precondition(lambda self: self.forwarded)
    @rule(which=st.integers(0, 100), interface=st.sampled_from(INTERFACES))
    def a_backend_answers(self, which: int, interface: str | None) -> None:
        _, decision = self.forwarded[-which % len(self.forwarded)]
        reply = decision.packet.reply
        # A flow that was forgotten has no answers: what comes is a packet like any other.
        self.send(Packet(reply.source, reply.destination, reply.protocol, interface))

    def send(self, packet: Packet) -> None:
        known = packet.flow in self.state.flows
        data = written(packet, signals="A" if known else "S")
        result = self.engine.send(data, self.state.now, packet.interface)
        note(f"{packet} by {packet.interface}: {result.outcome}, {result.rule}, {result.backend}")
        decision = decide(self.engine.table, packet, self.state, lambda count: position(result, count))
        self.state = self.state.after(packet, decision)
        if decision.outcome is Outcome.FORWARD and not known:
            self.forwarded.append((packet, decision))
        compare(data, result, decision, known=known)
        assert packet_of(data, Link.IP, packet.interface) == packet
        told = steps(self.engine.table, HOST, packet, result, self.state.now, self.pick)
        assert [step.rule for step in told] == [step.rule for step in decision.steps]
        assert answers_about_memory(told) == answers_about_memory(decision.steps)

    @invariant()
    def both_know_the_same_flows(self) -> None:
        known = {(flow.protocol, flow.client, flow.service) for flow in self.engine.flows()}
        answers = {(flow.protocol, flow.backend, flow.seen_as) for flow in self.engine.flows()}
        assert known | answers == set(self.state.flows)

    @invariant()
    def what_goes_in_comes_out_or_is_counted_as_dropped(self) -> None:
        counters = self.engine.counters
        assert counters.packets == sum(counters.outcomes.values())
        assert counters.outcomes[Outcome.DROP] == sum(counters.reasons.values())
        assert counters.flows["used"] == len(list(self.engine.flows())) <= SMALL.flows
        assert sum(tally.active for tally in self.engine.tallies().values()) == counters.flows["used"]


def position(result: Result, count: int) -> int:
    """Where in its pool the backend is that the engine picked."""
    assert result.frontend is not None
    assert result.client is not None
    verdict = result.frontend.verdict(result.client)
    assert isinstance(verdict, Forward)
    assert len(verdict.pool.drawn) == count
    return verdict.pool.drawn.index(result.backend)  # type: ignore[arg-type]


def answers_about_memory(asked: tuple[Step, ...]) -> list[str]:
    return [step.answer for step in asked if step.rule is Rule.AFFINITY]


def compare(data: bytes, result: Result, decision: Decision, *, known: bool) -> None:
    assert result.outcome is decision.outcome
    if decision.outcome is not Outcome.FORWARD:
        assert result.answered or result.data == data
        assert result.rule is decision.steps[-1].rule
    else:
        assert result.data == with_right_checksums(written(decision.packet, signals="A" if known else "S"))
    if known:
        assert result.rule is Rule.FLOW
        return
    assert result.new == (decision.outcome is Outcome.FORWARD)
    assert result.frontend == decision.frontend
    assert result.client == decision.client
    assert result.backend == decision.backend
    assert result.masquerade == decision.masquerade
    assert result.hairpin == any(step.rule is Rule.HAIRPIN for step in decision.steps)
    asked = [step.rule for step in decision.steps]
    assert result.remembered == (Rule.AFFINITY in asked and Rule.PICK not in asked)


TestSameAsReference = pytest.mark.long(pytest.mark.timeout(600)(SameAsReference.TestCase))
TestSameAsReference.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
