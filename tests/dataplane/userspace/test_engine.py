"""The engine as an object: its limits, what it counts, what it refuses, and that nothing is lost when tables change."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment

from dataplane.interface import DataplaneError
from dataplane.reference import Outcome, Packet
from dataplane.steps import Rule
from dataplane.table import (
    Affinity,
    Backend,
    Client,
    Endpoint,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
)
from dataplane.userspace.batch import Batch, Link
from dataplane.userspace.columns import packed
from dataplane.userspace.engine import Engine
from dataplane.userspace.flows import PHASES
from dataplane.userspace.image import unpacked
from dataplane.userspace.limits import Limits
from dataplane.userspace.result import CLIENTS, OUTCOMES, REASONS, RULES, Reason
from native.library import lib
from small_node import LIMITS, NAMES, Names, Node
from wire import read, written

NodeWith = Callable[[Limits], Node]

WEB = FrontendKey("10.96.0.10", Protocol.TCP, 80)
DNS = FrontendKey("10.96.0.10", Protocol.UDP, 53)


def serving_from(table: ForwardingTable, key: FrontendKey, *backends: Backend) -> ForwardingTable:
    """The table with other backends at one frontend; without any, the frontend is gone."""
    frontends = dict(table.frontends)
    del frontends[key]
    if backends:
        forward = Forward(Pool(backends), False)
        serving = frozenset(b.endpoint for b in backends) if key.protocol is Protocol.UDP else None
        frontends[key] = Frontend(key, "default/web:http", forward, forward, forward, None, serving)
    return replace(table, frontends=frontends)


# What C and Python both know


@pytest.mark.parametrize(
    ("words", "prefix"), [(OUTCOMES, "DECISION"), (RULES, "DECISION"), (REASONS, "DECISION"), (CLIENTS, "SERVICE")]
)
def test_every_number_of_the_engine_has_its_word(words: tuple[object, ...], prefix: str) -> None:
    for number, word in enumerate(words):
        if isinstance(word, enum.Enum):
            assert getattr(lib, f"{prefix}_{word.name}") == number


def test_every_phase_of_the_engine_has_its_word() -> None:
    assert [getattr(lib, f"TRACKING_{phase.name}") for phase in PHASES] == list(range(lib.TRACKING_PHASES))
    assert len(REASONS) == lib.DECISION_REASONS
    assert len(OUTCOMES) == lib.DECISION_OUTCOMES
    assert len(CLIENTS) == lib.SERVICE_CLIENTS == len(Client)


@given(st.ip_addresses(v=4))
def test_an_address_comes_back_as_it_went_in(address: object) -> None:
    assert unpacked(packed(str(address)), Family.IPV4) == str(address)


# Tables


def test_tcp_goes_on_when_its_backend_is_gone_and_new_connections_go_elsewhere(node: Node) -> None:
    sent = node.send("10.244.1.10", 40000, "10.96.0.10", 80)
    other = Backend("10.244.9.9", 8080, False)
    node.engine.apply(serving_from(node.engine.table, WEB, other))
    assert read(node.send("10.244.1.10", 40000, "10.96.0.10", 80, signals="A").data).dst == sent.backend.address  # type: ignore[union-attr]
    assert node.send("10.244.1.10", 40001, "10.96.0.10", 80).backend == other


@pytest.mark.parametrize("left", [(), (Backend("10.244.9.9", 8053, False),)], ids=["deleted", "replaced"])
def test_udp_is_forgotten_at_once_when_its_backend_serves_no_more(node: Node, left: tuple[Backend, ...]) -> None:
    node.send("10.244.1.10", 40000, "10.96.0.10", 53, Protocol.UDP)
    node.engine.apply(serving_from(node.engine.table, DNS, *left))
    assert list(node.engine.flows()) == []
    assert node.engine.counters.flows["settled"] == 1
    assert node.send("10.244.1.10", 40000, "10.96.0.10", 53, Protocol.UDP).backend == (left[0] if left else None)


def test_a_table_that_does_not_fit_is_refused_whole(node: Node) -> None:
    backends = [Backend(f"10.244.{i // 200}.{i % 200}", 80, False) for i in range(301)]
    before = node.engine.table
    with pytest.raises(DataplaneError, match="more than the limits allow"):
        node.engine.apply(serving_from(before, WEB, *sorted(backends)))
    assert node.engine.table is before
    assert node.engine.apply(before).full
    assert node.send("10.244.1.10", 40000, "10.96.0.10", 80).outcome is Outcome.FORWARD


def test_applying_the_same_table_again_does_nothing(node: Node) -> None:
    assert node.engine.apply(node.engine.table).operations == 0


def test_backends_can_come_and_go_for_ever(table: ForwardingTable) -> None:
    """Numbers of backends that are gone are given to others; those of living connections are not."""
    with Engine(limits=replace(LIMITS, tallies=20), seed=1) as engine:
        for generation in range(100):
            backend = Backend(f"10.244.7.{generation}", 8080, False)
            engine.apply(serving_from(table, WEB, backend))
            assert ("default/web:http", backend.endpoint) in engine.tallies()
        assert len(engine.tallies()) <= 20


# Limits


def test_a_full_flow_table_gives_up_what_nobody_answered_and_never_a_connection(node_with: NodeWith) -> None:
    node = node_with(replace(LIMITS, flows=10))
    engine = node.engine
    answered = [node.send("10.244.1.10", port, "10.96.0.10", 53, Protocol.UDP) for port in range(1, 6)]
    for port in range(1, 6):
        assert node.send("10.244.2.24", 8053, "10.244.1.10", port, Protocol.UDP).reply
    for port in range(100, 200):
        assert node.send("10.244.1.10", port, "10.96.0.10", 53, Protocol.UDP).new
    assert all(result.new for result in answered)
    assert engine.counters.flows["used"] == 10
    assert engine.counters.flows["evicted"] == 95
    for port in range(1, 6):
        assert node.send("10.244.2.24", 8053, "10.244.1.10", port, Protocol.UDP).reply


def test_a_flow_table_full_of_connections_refuses_a_new_one(node_with: NodeWith) -> None:
    node = node_with(replace(LIMITS, flows=2))
    for port in (1, 2):
        node.send("10.244.1.10", port, "10.96.0.10", 53, Protocol.UDP)
        node.send("10.244.2.24", 8053, "10.244.1.10", port, Protocol.UDP)
    refused = node.send("10.244.1.10", 3, "10.96.0.10", 53, Protocol.UDP)
    assert (refused.outcome, refused.reason) == (Outcome.DROP, Reason.FLOWS_FULL)


def test_a_client_that_affinity_has_no_room_for_is_served_all_the_same(
    table: ForwardingTable, node_with: NodeWith
) -> None:
    backends = (Backend("10.244.1.21", 80, True), Backend("10.244.2.23", 80, False))
    forward = Forward(Pool(backends, Affinity("default/web:http", 60)), False)
    frontends = {WEB: Frontend(WEB, "default/web:http", forward, forward, forward)}
    node = node_with(replace(LIMITS, clients=4))
    engine = node.engine
    engine.apply(replace(table, frontends=frontends))
    for host in range(1, 11):
        assert node.send(f"10.244.1.{host}", 40000, "10.96.0.10", 80).outcome is Outcome.FORWARD
    assert engine.counters.clients["refused"] == 6
    for host in range(1, 5):
        assert node.send(f"10.244.1.{host}", 40001, "10.96.0.10", 80).remembered


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(DataplaneError, match="cannot make an engine"):
        Engine(limits=Limits(flows=0))


def test_a_closed_engine_says_so() -> None:
    engine = Engine(seed=1)
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        _ = engine.counters


# Batches


def test_a_packet_may_belong_to_the_flow_that_the_one_before_it_in_the_batch_made(node: Node, names: Names) -> None:
    packet = Packet(Endpoint(names.pod, 40000), Endpoint(names.service, 80), Protocol.TCP)
    first, second = written(packet, "S"), written(packet, "A")
    batch = Batch(bytearray(first + second), 2)
    batch.add(0, len(first))
    batch.add(len(first), len(second))
    node.engine.run(batch, 0.0)
    assert [node.engine.result(batch, i).rule for i in (0, 1)] == [Rule.PICK, Rule.FLOW]
    assert read(batch.data(0)).dst == read(batch.data(1)).dst


@pytest.mark.parametrize("distance", [1, 16, 70])
def test_all_packets_of_a_flow_go_one_way_however_they_come_together(node: Node, distance: int) -> None:
    """Of both families, `distance` packets apart, among new flows and known ones, and bytes that are nothing."""

    def packets(first_port: int, signals: str) -> Iterator[bytes]:
        for port in range(first_port, first_port + distance):
            names = NAMES[Family.IPV6 if port % 3 == 0 else Family.IPV4]
            yield written(Packet(Endpoint(names.pod, port), Endpoint(names.service, 80), Protocol.TCP), signals)

    def through(sent: Sequence[bytes]) -> tuple[list[Outcome], list[Rule | None], list[str]]:
        batch = Batch(bytearray(b"".join(sent)), len(sent))
        for number, data in enumerate(sent):
            batch.add(sum(map(len, sent[:number])), len(data))
        node.engine.run(batch, 0.0)
        results = [node.engine.result(batch, i) for i in range(len(sent))]
        went = [read(batch.data(i)).dst if r.outcome is Outcome.FORWARD else "" for i, r in enumerate(results)]
        return [r.outcome for r in results], [r.rule for r in results], went

    # Once when nothing came before; then after many that opened flows; then after some that did not.
    known: list[bytes] = []
    for first_port in (40000, 41000, 42000):
        sent = [*packets(first_port, "S"), *packets(first_port, "A"), b"\0" * 20, *known]
        outcomes, rules, went = through(sent)
        assert outcomes[: 2 * distance] == [Outcome.FORWARD] * (2 * distance)
        assert rules[: 2 * distance] == [Rule.PICK] * distance + [Rule.FLOW] * distance
        assert went[:distance] == went[distance : 2 * distance]
        assert rules[2 * distance + 1 :] == [Rule.FLOW] * len(known)
        known = list(packets(first_port, "A"))
        assert through(known)[2] == went[:distance]


def test_a_batch_holds_no_more_than_it_was_made_for() -> None:
    batch = Batch(bytearray(100), 1)
    batch.add(0, 50)
    with pytest.raises(IndexError):
        batch.add(50, 50)
    batch.clear()
    with pytest.raises(ValueError, match="not in a buffer"):
        batch.add(60, 50)


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=20), st.sampled_from(Link))
def test_no_bytes_whatever_are_too_strange(packets: list[bytes], link: Link) -> None:
    with Engine(limits=Limits(10, 10, 10, 10, 10, 10, 10, 10, 10, 10), seed=1) as engine:
        for data in packets:
            assert engine.send(data, 0.0, link=link).data == data
        assert engine.counters.packets == len(packets)


# What it tells


def test_what_went_through_a_backend_is_counted_in_both_directions(node: Node, names: Names) -> None:
    sent = node.send(names.pod, 40000, names.service, 53, Protocol.UDP)
    answer = node.send(names.dns, 8053, names.pod, 40000, Protocol.UDP, payload=b"longer answer")
    tally = node.engine.tallies()["default/dns:dns", Endpoint(names.dns, 8053)]
    assert (tally.connections, tally.active) == (1, 1)
    assert (tally.packets_to, tally.packets_from) == (1, 1)
    assert (tally.bytes_to, tally.bytes_from) == (len(sent.data), len(answer.data))


def test_a_flow_reads_well(node: Node) -> None:
    node.send("203.0.113.9", 40000, "10.96.0.10", 53, Protocol.UDP)
    (flow,) = node.engine.flows()
    assert str(flow) == ("UDP 203.0.113.9:40000 → 10.96.0.10:53 → 10.244.2.24:8053 as 192.0.2.1:40000, unreplied")


def test_where_tells_a_frontend_its_backends_and_what_they_got(node: Node) -> None:
    node.send("10.244.1.10", 40000, "10.96.0.10", 53, Protocol.UDP)
    assert "10.244.2.24:8053: 1 connections (1 now), 1 packets to it and 0 from it" in node.engine.where(DNS)
    with pytest.raises(KeyError):
        node.engine.where(FrontendKey("10.96.0.10", Protocol.TCP, 1))


# Numbers of backends


def test_a_backend_that_comes_back_goes_on_counting(node: Node, table: ForwardingTable) -> None:
    other = Backend("10.244.9.9", 8080, False)
    before = node.send("10.244.1.10", 40000, "10.96.0.10", 80).backend
    assert before is not None
    node.engine.apply(serving_from(table, WEB, other))
    node.engine.apply(table)
    assert node.engine.tallies()["default/web:http", before.endpoint].connections == 1


def test_a_number_is_taken_away_only_when_it_is_needed_and_never_from_living_connections(
    table: ForwardingTable, node_with: NodeWith
) -> None:
    node = node_with(replace(LIMITS, tallies=20))
    living = node.send("10.244.1.10", 40000, "10.96.0.10", 80).backend
    assert living is not None
    for generation in range(100):
        node.engine.apply(serving_from(table, WEB, Backend(f"10.244.7.{generation}", 8080, False)))
        assert node.engine.tallies()["default/web:http", living.endpoint].active == 1
        assert len(node.engine.tallies()) <= 20
    with pytest.raises(DataplaneError, match="more than the limits allow"):
        node.engine.apply(serving_from(table, WEB, *(Backend(f"10.244.8.{n}", 8080, False) for n in range(20))))


# Changes


def test_a_change_writes_only_what_is_different(node: Node, table: ForwardingTable) -> None:
    applied = node.engine.apply(serving_from(table, WEB, Backend("10.244.9.9", 8080, False)))
    assert (applied.full, applied.operations) == (False, 1)


def test_a_table_that_changes_for_ever_never_runs_out_of_places(table: ForwardingTable, node_with: NodeWith) -> None:
    """Pools of ever other sizes leave holes of the wrong length: then everything is written again."""
    node = node_with(replace(LIMITS, backends=200, pools=100))
    full = 0
    for generation, size in enumerate([1, 90, 2, 80, 3, 85, 4, 83, 5, 66, 77, 88] * 5):
        backends = tuple(Backend(f"10.244.9.{n}", 8080, False) for n in range(size))
        full += node.engine.apply(serving_from(table, WEB, *backends)).full
        assert node.send("10.244.1.10", 40000 + generation, "10.96.0.10", 80).backend in backends
        node.engine.apply(table)
    assert full > 0


def test_udp_flows_that_a_table_ended_are_not_followed_even_before_they_are_looked_for(node: Node) -> None:
    """As in a worker, where a table is put in force between two batches and nobody waits for a look at all flows."""
    lasting = node.send("10.244.1.10", 40000, "10.96.0.10", 53, Protocol.UDP)
    native = node.engine._native
    flows = list(node.engine.flows())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "_do", lambda self, task, argument: lib.engine_swap(self._native))
        other = Backend("10.244.9.9", 8053, False)
        node.engine.apply(serving_from(node.engine.table, DNS, other))
    assert list(node.engine.flows()) == flows
    assert lasting.backend is not None
    answer = node.send(lasting.backend.address, lasting.backend.port, "10.244.1.10", 40000, Protocol.UDP)
    assert answer.outcome is Outcome.PASS
    assert node.send("10.244.1.10", 40000, "10.96.0.10", 53, Protocol.UDP).backend == other
    assert node.engine.counters.flows["settled"] == 1
    assert lib.engine_settle(native, 1000)
    assert node.engine.counters.flows["used"] == 1


def test_what_is_no_address_is_refused_in_one_line(node: Node) -> None:
    before = node.engine.table
    with pytest.raises(DataplaneError, match=r"expected IPv4 or IPv6 addresses, got '10\.244\.1\.300'"):
        node.engine.apply(serving_from(before, WEB, Backend("10.244.1.300", 80, False)))
    assert node.engine.table is before


def test_node_ports_answer_on_the_addresses_of_the_table_in_force(node: Node, table: ForwardingTable) -> None:
    elsewhere = replace(table, node_addresses=frozenset({"198.51.100.1"}))
    node.engine.apply(elsewhere)
    assert node.send("203.0.113.9", 40000, "192.0.2.1", 30080).outcome is Outcome.PASS
    node.engine.apply(table)
    assert node.send("203.0.113.9", 40001, "192.0.2.1", 30080).outcome is Outcome.FORWARD
    node.engine.apply(elsewhere)
    assert node.send("203.0.113.9", 40002, "192.0.2.1", 30080).outcome is Outcome.PASS


@pytest.mark.parametrize("damaged", ["in a piece", "by its way"])
def test_a_packet_that_cannot_be_translated_begins_nothing(
    node: Node, table: ForwardingTable, names: Names, damaged: str
) -> None:
    """SCTP whose ports change: its checksum covers all of it. Nothing that happened on the way to finding out stays."""
    key = FrontendKey(names.service, Protocol.SCTP, 80)
    pool = Pool((Backend(names.here, 8080, True),), Affinity(f"web{names.family}", 60))
    forward = Forward(pool, True)
    frontend = Frontend(key, "default/web:sctp", forward, forward, forward)
    node.engine.apply(replace(table, frontends={key: frontend}))
    packet = Packet(Endpoint(names.pod, 40000), Endpoint(names.service, 80), Protocol.SCTP)
    data = written(packet)
    data = data[:-1] + bytes([data[-1] ^ 1]) if damaged == "by its way" else first_piece(data)
    result = node.raw(data)
    assert (result.outcome, result.new) == (Outcome.DROP, False)
    assert result.reason is (Reason.BAD_CHECKSUM if damaged == "by its way" else Reason.FRAGMENT)
    counters = node.engine.counters
    assert not any(counters.flows.values())
    assert not any(counters.clients.values())
    assert not any(any(astuple(tally)) for tally in node.engine.tallies().values())


def first_piece(data: bytes) -> bytes:
    """The packet, which says that others follow."""
    packet = read(data)
    if packet.version == 4:
        packet.flags, packet.chksum = "MF", None
        return bytes(packet)
    return bytes(IPv6(src=packet.src, dst=packet.dst) / IPv6ExtHdrFragment(m=1, nh=packet.nh) / packet.payload)


def test_a_flow_that_is_forgotten_while_flows_are_listed_is_left_out(node: Node) -> None:
    """Its service port may be forgotten with it: whoever lists flows, from another thread, must not fail of that."""
    for port in (40000, 40001):
        node.send("10.244.1.10", port, "10.96.0.10", 80)
    listed = node.engine.named_flows()
    name, _ = next(listed)
    assert name == "default/web:http"
    owners = node.engine._owners
    owners._in_use, owners._most = set, 0
    owners.tidy(0)
    assert list(listed) == []
    assert node.engine.tallies() == {}
