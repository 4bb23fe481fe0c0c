"""Packets that come in pieces."""

from __future__ import annotations

from scapy.layers.inet import IP, UDP, defragment, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, defragment6, fragment6
from scapy.packet import Raw

from dataplane.reference import Outcome
from dataplane.table import Family
from dataplane.userspace.result import Reason
from small_node import Names, Node
from wire import read

PAYLOAD = bytes(range(256)) * 12


def pieces(family: Family, source: str, port: int, destination: str, destination_port: int) -> list[bytes]:
    """A datagram of 3,072 bytes in three pieces."""
    udp = UDP(sport=port, dport=destination_port) / Raw(PAYLOAD)
    if family is Family.IPV4:
        return [bytes(p) for p in fragment(IP(bytes(IP(src=source, dst=destination, id=77) / udp)), fragsize=1400)]
    whole = IPv6(bytes(IPv6(src=source, dst=destination) / IPv6ExtHdrFragment(id=77) / udp))
    return [bytes(p) for p in fragment6(whole, 1400)]


def together(family: Family, parts: list[bytes]) -> IP | IPv6:
    """What the receiver puts together, read anew so that Scapy computes nothing itself."""
    whole = defragment([IP(p) for p in parts])[0] if family is Family.IPV4 else defragment6([IPv6(p) for p in parts])
    return read(bytes(whole))


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


def test_the_pieces_of_a_rejected_packet_are_dropped_and_one_answer_is_sent(node: Node, names: Names) -> None:
    first, second, third = pieces(names.family, names.pod, 40000, names.service, 99)
    assert node.raw(first).answered
    assert [node.raw(p).outcome for p in (second, third)] == [Outcome.DROP] * 2
    assert node.engine.counters.answers == 1


def test_pieces_are_waited_for_thirty_seconds(node: Node, names: Names) -> None:
    first, second, third = pieces(names.family, names.pod, 40000, names.service, 53)
    node.raw(first)
    node.now = 29.9
    assert node.raw(second).outcome is Outcome.FORWARD
    node.now = 30.0
    assert node.raw(third).outcome is Outcome.DROP


def test_a_flood_of_first_pieces_is_bounded(node: Node) -> None:
    def piece(number: int, *, first: bool) -> bytes:
        ip = IP(src="10.244.1.10", dst="10.96.0.10", id=number, flags="MF", frag=0 if first else 3, proto=17)
        return bytes(ip / (UDP(sport=40000, dport=53, len=5000, chksum=1) / bytes(16) if first else Raw(bytes(24))))

    for number in range(1, 1026):
        node.raw(piece(number, first=True))
    assert node.raw(piece(1, first=False)).outcome is Outcome.DROP
    assert [node.raw(piece(n, first=False)).outcome for n in (2, 1025)] == [Outcome.FORWARD] * 2


def test_an_atomic_fragment_is_a_whole_packet(node: Node) -> None:
    udp = UDP(sport=40000, dport=53) / b"x"
    packet = IPv6(src="fd00:244:1::10", dst="fd00:96::10") / IPv6ExtHdrFragment(id=1, m=0, offset=0) / udp
    assert node.raw(bytes(packet)).outcome is Outcome.FORWARD
