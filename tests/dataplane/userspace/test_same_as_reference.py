"""The engine and the executable specification: the same decision on every packet.

Both get the same random tables, packets, changes and passing time. Where there is chance, the engine decides first
and the reference is told what came out, so that everything else must agree: outcome, backend, rewritten packet to
the last byte, affinity, and what is forgotten when a table changes.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dataplane.reference import Decision, Outcome, Packet, State, decide
from dataplane.steps import Rule, Step
from dataplane.table import (
    Affinity,
    Backend,
    DetectLocal,
    Drop,
    Endpoint,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pick,
    Pool,
    Protocol,
    Reject,
    Verdict,
)
from dataplane.userspace.batch import Link
from dataplane.userspace.engine import Engine
from dataplane.userspace.image import Host
from dataplane.userspace.limits import Limits, Timeouts
from dataplane.userspace.result import Result
from dataplane.userspace.telling import packet_of, steps
from wire import with_right_checksums, written

# The reference forgets no flow by itself; so neither does the engine here.
FOR_EVER = Timeouts(*[1e12] * 5)
SMALL = Limits(500, 100, 50, 100, 300, 200, 100, 100, 500, 200)

CLIENTS = {
    Family.IPV4: ("10.244.1.21", "10.244.1.22", "10.244.2.23", "192.0.2.1", "127.0.0.1", "203.0.113.9", "192.0.2.200"),
    Family.IPV6: ("fd00:244:1::21", "fd00:244:1::22", "fd00:244:2::23", "fd00:192::1", "::1", "2001:db8::9"),
}
SERVED = {
    Family.IPV4: ("10.96.0.10", "10.96.0.11", "198.51.100.7", "0.0.0.0"),
    Family.IPV6: ("fd00:96::10", "fd00:96::11", "2001:db8:7::7", "::"),
}
DESTINATIONS = {
    Family.IPV4: (*SERVED[Family.IPV4], *CLIENTS[Family.IPV4], "10.96.0.99", "192.0.2.2"),
    Family.IPV6: (*SERVED[Family.IPV6], *CLIENTS[Family.IPV6], "fd00:96::99", "fd00:192::2"),
}
BACKENDS = {
    Family.IPV4: ("10.244.1.21", "10.244.1.22", "10.244.2.23", "192.0.2.1"),
    Family.IPV6: ("fd00:244:1::21", "fd00:244:1::22", "fd00:244:2::23", "fd00:192::1"),
}
RANGES = ("10.244.0.0/16", "10.244.1.0/24", "203.0.113.0/24", "192.0.2.1/32", "0.0.0.0/1", "fd00:244::/32", "::/0")
HOST = Host(
    frozenset({"192.0.2.1", "192.0.2.200", "127.0.0.1", "fd00:192::1", "::1"}),
    {Family.IPV4: "192.0.2.1", Family.IPV6: "fd00:192::1"},
)
INTERFACES = (None, "veth1", "veth2", "eth0")
PORTS = (80, 443, 30080)

families = st.sampled_from(Family)
seeds = st.integers(0, 2**32)


def some_table(seed: int) -> ForwardingTable:
    """Any table. Drawn by chance from a seed, because drawing each part of it by hypothesis takes a second."""
    chance = random.Random(seed)
    keys = {
        FrontendKey(address, chance.choice(list(Protocol)), chance.choice(PORTS))
        for family in Family
        for address in chance.choices(SERVED[family], k=5)
    }
    return ForwardingTable(
        {key: some_frontend(chance, key) for key in sorted(keys)},
        frozenset(some(chance, ("10.96.0.10", "10.96.0.11", "fd00:96::10"))),
        frozenset(some(chance, ("10.96.0.0/12", "10.96.0.0/24", "fd00:96::/112"))),
        frozenset(some(chance, ("0.0.0.0", "::", "192.0.2.1", "192.0.2.2", "fd00:192::1"))),
        DetectLocal(
            some(chance, ("10.244.1.0/24", "fd00:244:1::/48")),
            chance.choice(("", "veth", "veth1")),
            chance.random() < 0.5,
        ),
    )


def some_frontend(chance: random.Random, key: FrontendKey) -> Frontend:
    pools = [some_pool(chance, key.family) for _ in range(2)]
    pod, node, outside = (some_verdict(chance, pools) for _ in range(3))
    service = chance.choice(("default/a:http", "default/b:http", "default/c:dns"))
    sources = some(chance, RANGES) if chance.random() < 0.3 else None
    serving: frozenset[Endpoint] | None = None
    if key.protocol is Protocol.UDP or (key.protocol is Protocol.SCTP and chance.random() < 0.5):
        extra = (Endpoint(address, 8080) for address in some(chance, BACKENDS[key.family]))
        serving = frozenset((*(b.endpoint for pool in pools for b in pool.backends), *extra))
    return Frontend(key, service, pod, node, outside, sources, serving)


def some_verdict(chance: random.Random, pools: list[Pool]) -> Verdict:
    if chance.random() < 0.8:
        return Forward(chance.choice(pools), chance.random() < 0.5)
    return chance.choice((Reject(), Drop()))


def some_pool(chance: random.Random, family: Family) -> Pool:
    affinity = Affinity(chance.choice(("default/a:http", "default/b:http")), chance.randint(1, 20))
    endpoints = {(chance.choice(BACKENDS[family]), chance.choice((80, 8080))) for _ in range(chance.randint(1, 5))}
    return Pool(
        tuple(
            Backend(address, port, not address.endswith("23"), chance.choice((1, 1, 2, 100)))
            for address, port in sorted(endpoints)
        ),
        affinity if chance.random() < 0.5 else None,
        chance.choice((None, None, *Pick)),
    )


def some(chance: random.Random, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value for value in values if chance.random() < 0.5)


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
