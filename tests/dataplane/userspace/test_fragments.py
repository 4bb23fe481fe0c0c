"""Packets that come in pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP, defragment, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, defragment6, fragment6
from scapy.packet import Raw

from dataplane.reference import Outcome
from dataplane.table import Backend, Endpoint, Family, Forward, Frontend, FrontendKey, Pool, Protocol
from dataplane.userspace.engine import Engine
from dataplane.userspace.limits import Limits
from dataplane.userspace.result import Reason
from requirement import requirement
from small_node import HOST, LIMITS, NAMES, Names, Node, small_table
from wire import read, with_right_checksums

NodeWith = Callable[[Limits], Node]

PAYLOAD = bytes(range(256)) * 12

OTHERS = {
    Family.IPV4: [f"10.96.1.{host}" for host in range(5)],
    Family.IPV6: [f"fd00:96::1:{host}" for host in range(5)],
}


def pieces(family: Family, source: str, port: int, destination: str, destination_port: int) -> list[bytes]:
    """A datagram of 3,072 bytes in three pieces."""
    udp = UDP(sport=port, dport=destination_port) / Raw(PAYLOAD)
    if family is Family.IPV4:
        return [bytes(p) for p in fragment(IP(bytes(IP(src=source, dst=destination, id=77) / udp)), fragsize=1400)]
    whole = IPv6(bytes(IPv6(src=source, dst=destination) / IPv6ExtHdrFragment(id=77) / udp))
    return [bytes(p) for p in fragment6(whole, 1400)]


def together(family: Family, parts: list[bytes]) -> IP | IPv6:
    """What the receiver puts together, read anew so that Scapy computes nothing itself."""
    if family is Family.IPV4:
        whole = defragment(sorted(map(IP, parts), key=lambda piece: piece.frag))[0]
    else:
        whole = defragment6(sorted(map(IPv6, parts), key=lambda piece: piece[IPv6ExtHdrFragment].offset))
    return read(bytes(whole))


@requirement("RFC 4787 REQ-14", kept="in order, always")
def test_the_pieces_of_a_datagram_all_go_to_the_backend(node: Node, names: Names) -> None:
    sent = [node.raw(p) for p in pieces(names.family, names.outside, 40000, names.service, 53)]
    whole = together(names.family, [result.data for result in sent])
    right = UDP(bytes(whole[UDP]))
    del right.chksum
    assert len(sent) == 3
    assert [result.outcome for result in sent] == [Outcome.FORWARD] * 3
    assert (whole.src, whole.dst, whole[UDP].dport) == (names.node, names.dns, 8053)
    assert bytes(whole[UDP].payload)[: len(PAYLOAD)] == PAYLOAD
    assert whole[UDP].chksum == type(whole)(bytes(whole.__class__(src=whole.src, dst=whole.dst) / right))[UDP].chksum


def test_the_pieces_of_an_answer_all_go_to_the_client(node: Node, names: Names) -> None:
    node.raw(pieces(names.family, names.pod, 40000, names.service, 53)[0])
    answers = [node.raw(p) for p in pieces(names.family, names.dns, 8053, names.pod, 40000)]
    assert [(read(a.data).src, read(a.data).dst, a.reply) for a in answers] == [(names.service, names.pod, True)] * 3


def test_a_piece_that_overtakes_the_first_is_dropped_on_its_way_to_a_cluster_ip(node: Node, names: Names) -> None:
    first, second, _ = pieces(names.family, names.pod, 40000, names.service, 53)
    early = node.raw(second)
    assert (early.outcome, early.reason) == (Outcome.DROP, Reason.FRAGMENT)
    node.raw(first)
    assert node.raw(second).outcome is Outcome.FORWARD


def test_pieces_that_are_none_of_our_business_pass(node: Node, names: Names) -> None:
    for piece in pieces(names.family, names.pod, 40000, names.elsewhere, 53):
        result = node.raw(piece)
        assert (result.outcome, result.data) == (Outcome.PASS, piece)


def test_pieces_of_what_passed_do_not_go_the_way_of_an_earlier_packet_with_their_identification(
    node: Node, names: Names
) -> None:
    node.raw(pieces(names.family, names.pod, 40000, names.service, 53)[0])
    for piece in pieces(names.family, names.dns, 8053, names.pod, 40000):
        assert node.raw(piece).outcome is Outcome.FORWARD
    for piece in pieces(names.family, names.dns, 9999, names.pod, 40000):
        result = node.raw(piece)
        assert (result.outcome, result.data) == (Outcome.PASS, piece)


def test_the_pieces_of_a_rejected_packet_are_dropped_and_one_answer_is_sent(node: Node, names: Names) -> None:
    first, second, third = pieces(names.family, names.pod, 40000, names.service, 99)
    assert node.raw(first).answered
    assert [node.raw(p).outcome for p in (second, third)] == [Outcome.DROP] * 2
    assert node.engine.counters.answers == 1


@requirement("RFC 4787 REQ-14", kept="bounded in time")
def test_pieces_are_waited_for_thirty_seconds(node: Node, names: Names) -> None:
    first, second, third = pieces(names.family, names.pod, 40000, names.service, 53)
    node.raw(first)
    node.now = 29.9
    assert node.raw(second).outcome is Outcome.FORWARD
    node.now = 30.0
    assert node.raw(third).outcome is Outcome.DROP


@requirement("RFC 4787 REQ-14", kept="bounded in number")
def test_a_flood_of_first_pieces_is_bounded(node: Node) -> None:
    def piece(number: int, *, first: bool) -> bytes:
        ip = IP(src="10.244.1.10", dst="10.96.0.10", id=number, flags="MF", frag=0 if first else 3, proto=17)
        return bytes(ip / (UDP(sport=40000, dport=53, len=5000, chksum=1) / bytes(16) if first else Raw(bytes(24))))

    for number in range(1, 1026):
        node.raw(piece(number, first=True))
    assert node.raw(piece(1, first=False)).outcome is Outcome.DROP
    assert [node.raw(piece(n, first=False)).outcome for n in (2, 1025)] == [Outcome.FORWARD] * 2


def test_late_pieces_count_for_no_backend_but_their_own(node_with: NodeWith, names: Names) -> None:
    """Its flow is over and the backend gone; all that may be counted in is taken by others."""
    node = node_with(replace(LIMITS, tallies=8))
    key = FrontendKey(names.service, Protocol.UDP, 53)

    def serve(*ports: int) -> None:
        pool = Pool(tuple(Backend(names.dns, port, False) for port in ports))
        forward = Forward(pool, False)
        serving = frozenset(b.endpoint for b in pool.backends)
        frontend = Frontend(key, "default/dns:dns", forward, forward, forward, None, serving)
        node.engine.apply(replace(small_table(), frontends={key: frontend}))

    serve(9000)
    first, second, third = pieces(names.family, names.pod, 40000, names.service, 53)
    for piece in (first, second):
        assert node.raw(piece).outcome is Outcome.FORWARD
    counted = ("default/dns:dns", Endpoint(names.dns, 9000))
    assert node.engine.tallies()[counted].packets_to == 2
    for ports in ((9001, 9002, 9003), (9004, 9005, 9006), (9007, 9008, 9009)):
        serve(*ports)
    before = node.engine.tallies()
    assert counted not in before
    assert node.raw(third).outcome is Outcome.FORWARD
    assert node.engine.tallies() == before


def test_an_atomic_fragment_is_a_whole_packet(node: Node) -> None:
    udp = UDP(sport=40000, dport=53) / b"x"
    packet = IPv6(src="fd00:244:1::10", dst="fd00:96::10") / IPv6ExtHdrFragment(id=1, m=0, offset=0) / udp
    assert node.raw(bytes(packet)).outcome is Outcome.FORWARD


@pytest.fixture
def patient(node_with: NodeWith) -> Node:
    """A node where fragments wait for the first of their packet."""
    return node_with(replace(LIMITS, held=4))


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("client", ["pod", "outside"])
@requirement("RFC 4787 REQ-14", kept="out of order where `Limits.held` is not 0, as in `svcplane replay`")
def test_pieces_in_any_order_all_go_to_the_backend(
    patient: Node, names: Names, order: tuple[int, ...], client: str
) -> None:
    parts = pieces(names.family, getattr(names, client), 40000, names.service, 53)
    came: list[bytes] = []
    for number in order:
        result = patient.raw(parts[number])
        if result.outcome is not Outcome.HOLD:
            came.append(result.data)
        came += [piece.data for piece in patient.engine.released()]
    assert len(came) == 3
    assert {read(data).dst for data in came} == {names.dns}
    whole = together(names.family, came)
    assert bytes(whole)[-len(PAYLOAD) :] == PAYLOAD
    assert bytes(whole) == with_right_checksums(bytes(whole))


def test_a_hairpin_in_pieces_out_of_order_is_masqueraded_whole(patient: Node, names: Names) -> None:
    # The backend itself asks for its Service: what comes back must come through this node.
    table = patient.engine.table
    key = FrontendKey(names.service, Protocol.UDP, 53)
    forward = Forward(Pool((Backend(names.dns, 8053, True),)), False)
    patient.engine.apply(
        replace(table, frontends={**table.frontends, key: Frontend(key, "default/dns:dns", forward, forward, forward)})
    )
    first, second, third = pieces(names.family, names.dns, 40000, names.service, 53)
    for piece in (third, second):
        assert patient.raw(piece).outcome is Outcome.HOLD
    assert patient.raw(first).hairpin
    assert [(read(p.data).src, read(p.data).dst) for p in patient.engine.released()] == [(names.node, names.dns)] * 2


def test_pieces_that_waited_for_what_is_none_of_our_business_pass_as_they_came(patient: Node, names: Names) -> None:
    first, second, third = pieces(names.family, names.pod, 40000, names.elsewhere, 53)
    assert patient.raw(second).outcome is Outcome.HOLD
    assert patient.raw(first).outcome is Outcome.PASS
    assert [(piece.outcome, piece.data) for piece in patient.engine.released()] == [(Outcome.PASS, second)]
    assert patient.raw(third).outcome is Outcome.PASS


def test_pieces_of_a_ping_wait_too(patient: Node) -> None:
    first, second = (
        bytes(p) for p in fragment(IP(src="10.244.1.10", dst="10.244.2.23", id=7) / ICMP() / PAYLOAD, 1600)
    )
    assert patient.raw(second).outcome is Outcome.HOLD
    assert patient.raw(first).outcome is Outcome.PASS
    assert [piece.data for piece in patient.engine.released()] == [second]


def test_pieces_that_waited_for_what_is_rejected_are_dropped(patient: Node, names: Names) -> None:
    first, second, _ = pieces(names.family, names.pod, 40000, names.service, 99)
    patient.raw(second)
    assert patient.raw(first).outcome is Outcome.REJECT
    assert list(patient.engine.released()) == []
    assert patient.engine.counters.held == {"used": 0, "kept": 1, "released": 0, "abandoned": 1, "refused": 0}


def test_a_piece_waits_for_a_second_and_no_longer(patient: Node, names: Names) -> None:
    first, second, third = pieces(names.family, names.pod, 40000, names.service, 53)
    patient.raw(second)
    patient.now = 0.5
    patient.raw(third)
    patient.now = 1.2
    patient.raw(first)
    assert len(list(patient.engine.released())) == 1
    assert patient.engine.counters.held == {"used": 0, "kept": 2, "released": 1, "abandoned": 1, "refused": 0}


def test_pieces_that_nobody_fetches_are_given_up(patient: Node, names: Names) -> None:
    first, second, _ = pieces(names.family, names.pod, 40000, names.service, 53)
    patient.raw(second)
    patient.raw(first)
    patient.now = 1.2
    patient.raw(first)
    assert list(patient.engine.released()) == []


def test_when_all_places_are_taken_a_new_piece_is_dropped_and_those_that_wait_stay(patient: Node, names: Names) -> None:
    first, second, _ = pieces(names.family, names.pod, 40000, names.service, 53)
    assert patient.raw(second).outcome is Outcome.HOLD
    flood = [patient.raw(pieces(names.family, names.outside, 1, to, 53)[1]) for to in OTHERS[names.family]]
    assert [result.outcome for result in flood] == [Outcome.HOLD] * 3 + [Outcome.DROP] * 2
    assert flood[-1].reason is Reason.FRAGMENT
    patient.raw(first)
    assert len(list(patient.engine.released())) == 1


@requirement("RFC 4787 REQ-14", kept="bounded in bytes")
def test_a_piece_too_long_to_wait_is_dropped(patient: Node) -> None:
    _, later = (bytes(p) for p in fragment(IP(src="10.244.1.10", dst="10.96.0.10", id=7) / UDP() / bytes(5000), 2600))
    result = patient.raw(later)
    assert (result.outcome, result.reason) == (Outcome.DROP, Reason.FRAGMENT)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 900)), max_size=40),
    st.sampled_from(Family),
)
def test_no_piece_is_lost_or_doubled_whatever_the_order(sent: list[tuple[int, int, int]], family: Family) -> None:
    names = NAMES[family]
    destinations = ((names.service, 53), (names.service, 99), (names.elsewhere, 53), (names.service, 80))
    parts = [pieces(family, names.pod, 40000 + i, *to) for i, to in enumerate(destinations)]
    with Engine(HOST, limits=replace(LIMITS, held=4), seed=1) as engine:
        engine.apply(small_table())
        node, milliseconds = Node(engine), 0
        for packet, number, passed in sent:
            milliseconds += passed
            node.now = milliseconds / 1000
            node.raw(parts[packet][number])
            for piece in engine.released():
                assert piece.outcome in (Outcome.FORWARD, Outcome.PASS)
        counters = engine.counters
    held = counters.held
    assert counters.packets == len(sent) == sum(counters.outcomes.values())
    assert counters.outcomes[Outcome.HOLD] == held["kept"] == held["released"] + held["abandoned"] + held["used"]
    assert held["used"] <= 4
