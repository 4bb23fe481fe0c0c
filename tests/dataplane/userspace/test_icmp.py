"""ICMP: errors about translated packets, echo, and the answers to rejected packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
)
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw

from dataplane.interface import DataplaneError
from dataplane.reference import Outcome
from dataplane.steps import Rule
from dataplane.table import Family, ForwardingTable, Protocol
from dataplane.userspace.batch import Batch, Link
from dataplane.userspace.engine import Engine
from dataplane.userspace.limits import ALL_ANSWERS, AnswerRates, Rate
from dataplane.userspace.result import Reason
from requirement import requirement
from small_node import HOST, LIMITS, Names, Node, small_table
from wire import read


def too_big(source: str, about: bytes, quoted: int = 1000) -> bytes:
    """What a router says whose next link is too small (RFC 1191, RFC 4443), to whom sent the packet."""
    packet = read(about)
    if packet.version == 6:
        return bytes(IPv6(src=source, dst=packet.src) / ICMPv6PacketTooBig(mtu=1400) / Raw(about[:quoted]))
    return bytes(IP(src=source, dst=packet.src) / ICMP(type=3, code=4, nexthopmtu=1400) / Raw(about[:quoted]))


def checksums_are_right(data: bytes) -> bool:
    """Whether Scapy would have written the same, the quoted packet included."""
    packet = read(data)
    for layer in (IP, ICMP, IPerror, TCPerror, UDPerror, ICMPv6PacketTooBig, ICMPv6DestUnreach):
        if layer in packet:
            fields = packet[layer].fields
            fields.pop("cksum" if layer in (ICMPv6PacketTooBig, ICMPv6DestUnreach) else "chksum", None)
    return bytes(packet) == data


def quoted(packet: ScapyPacket) -> ScapyPacket:
    return packet[IPerror6] if packet.version == 6 else packet[IPerror]


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])
@pytest.mark.parametrize("masqueraded", [False, True])
@requirement("RFC 5382 REQ-9")
@requirement("RFC 5508 REQ-4")
def test_an_error_on_the_way_to_the_backend_reaches_the_client_as_about_the_service(
    node: Node, names: Names, protocol: Protocol, masqueraded: bool
) -> None:
    client, port = names.outside if masqueraded else names.pod, 80 if protocol is Protocol.TCP else 53
    sent = node.send(client, 40000, names.service, port, protocol)
    result = node.raw(too_big(names.router, sent.data))
    error = read(result.data)
    about = quoted(error)
    transport = about[TCPerror if protocol is Protocol.TCP else UDPerror]
    assert (result.outcome, result.rule, result.reply) == (Outcome.FORWARD, Rule.FLOW, True)
    assert (error.src, error.dst) == (names.service, client)
    assert (about.src, transport.sport, about.dst, transport.dport) == (client, 40000, names.service, port)
    assert checksums_are_right(result.data)


@requirement("RFC 5382 REQ-9")
@requirement("RFC 5508 REQ-5")
def test_an_error_on_the_way_back_reaches_the_backend_as_about_its_answer(node: Node, names: Names) -> None:
    sent = read(node.send(names.pod, 40000, names.service, 80).data)
    answer = node.send(sent.dst, 8080, sent.src, 40000, signals="SA")
    result = node.raw(too_big(names.router, answer.data))
    error = read(result.data)
    about = quoted(error)
    assert (error.src, error.dst) == (names.router, sent.dst)
    assert (about.src, about[TCPerror].sport, about.dst, about[TCPerror].dport) == (sent.dst, 8080, names.pod, 40000)
    assert checksums_are_right(result.data)


def test_eight_quoted_bytes_of_the_transport_header_are_enough(node: Node, names: Names) -> None:
    sent = node.send(names.outside, 40000, names.service, 80)
    header = 20 if names.family is Family.IPV4 else 40
    result = node.raw(too_big(names.router, sent.data, quoted=header + 8))
    assert result.outcome is Outcome.FORWARD
    assert read(result.data).dst == names.outside


@requirement("RFC 4884")
def test_what_a_router_adds_after_the_quoted_packet_is_left_as_it_is(node: Node, names: Names) -> None:
    """RFC 4884: the length field says where the quoted packet, padded to 128 bytes, ends and extensions begin."""
    sent = node.send(names.outside, 40000, names.service, 80)
    label = bytes.fromhex("2000 0000 0008 0101 0001 01ff")  # an MPLS label (RFC 4950); no checksum
    about = sent.data.ljust(128, b"\0") + label
    ipv4 = names.family is Family.IPV4
    expired = ICMP(type=11, length=128 // 4) if ipv4 else ICMPv6TimeExceeded(length=128 // 8)
    network = IP if ipv4 else IPv6
    error = bytes(network(src=names.router, dst=read(sent.data).src) / expired / Raw(about))
    result = node.raw(error)
    header = 20 if ipv4 else 40
    length = header + (5 if ipv4 else 4)
    assert (result.outcome, read(result.data).dst) == (Outcome.FORWARD, names.outside)
    assert len(result.data) == len(error)
    assert result.data[length] == error[length] == (32 if ipv4 else 16)
    assert result.data[header + 8 + len(sent.data) :] == error[header + 8 + len(sent.data) :]


@requirement("RFC 5508 REQ-3")
def test_an_error_whose_checksum_is_wrong_is_dropped(node: Node, names: Names) -> None:
    sent = node.send(names.outside, 40000, names.service, 80)
    error = bytearray(too_big(names.router, sent.data))
    error[-1] ^= 1
    result = node.raw(bytes(error))
    assert (result.outcome, result.reason) == (Outcome.DROP, Reason.BAD_CHECKSUM)


def test_an_error_about_a_packet_that_its_receiver_did_not_send_is_not_looked_into(node: Node, names: Names) -> None:
    sent = node.send(names.outside, 40000, names.service, 80)
    error = read(too_big(names.router, sent.data))
    error.dst = names.elsewhere
    forged = bytes(error.__class__(bytes(error)))
    result = node.raw(forged)
    assert (result.outcome, result.data) == (Outcome.PASS, forged)


def test_an_error_about_no_flow_of_ours_passes_as_it_is(node: Node, names: Names) -> None:
    sent = node.send(names.pod, 40000, names.elsewhere, 8080)
    assert sent.outcome is Outcome.PASS
    error = too_big(names.router, sent.data)
    result = node.raw(error)
    assert (result.outcome, result.data) == (Outcome.PASS, error)


def test_a_ping_of_a_cluster_ip_is_refused_and_of_anybody_else_passes(node: Node, names: Names) -> None:
    def ping(destination: str) -> bytes:
        if names.family is Family.IPV4:
            return bytes(IP(src=names.pod, dst=destination) / ICMP())
        return bytes(IPv6(src=names.pod, dst=destination) / ICMPv6EchoRequest())

    refused = node.raw(ping(names.service))
    assert (refused.outcome, refused.rule, refused.answered) == (Outcome.REJECT, Rule.CLUSTER_IP, True)
    assert node.raw(ping(names.elsewhere)).outcome is Outcome.PASS


@pytest.mark.parametrize("port", [81, 99])  # without endpoints; none of the Service's
def test_whoever_is_rejected_is_told_port_unreachable(node: Node, names: Names, port: int) -> None:
    result = node.send(names.pod, 40000, names.service, port)
    answer = read(result.data)
    kind = answer[ICMPv6DestUnreach] if names.family is Family.IPV6 else answer[ICMP]
    about = quoted(answer)
    assert (result.outcome, result.answered) == (Outcome.REJECT, True)
    assert (answer.src, answer.dst) == (names.node, names.pod)
    assert (kind.type, kind.code) == ((3, 3) if names.family is Family.IPV4 else (1, 4))
    assert (about.src, about[TCPerror].sport, about.dst, about[TCPerror].dport) == (
        names.pod,
        40000,
        names.service,
        port,
    )
    assert checksums_are_right(result.data)
    assert node.engine.counters.answers == 1


@pytest.mark.parametrize(("family", "most"), [(4, 576), (6, 1280)])
@requirement("RFC 1812 4.3.2.3, RFC 4443 2.4 c")
def test_the_answer_to_a_large_packet_quotes_what_the_rfcs_allow(node: Node, family: int, most: int) -> None:
    addresses = ("10.244.1.10", "10.96.0.10") if family == 4 else ("fd00:244:1::10", "fd00:96::10")
    result = node.send(addresses[0], 40000, addresses[1], 81, payload=bytes(1400))
    assert len(result.data) == most


@requirement("RFC 1812 4.3.2.7, RFC 4443 2.4 e")
def test_an_error_is_never_answered_by_an_error(node: Node) -> None:
    redirect = bytes(IP(src="198.18.0.1", dst="10.96.0.10") / ICMP(type=5) / IP() / TCP())
    result = node.raw(redirect)
    assert (result.outcome, result.answered) == (Outcome.PASS, False)


@requirement("RFC 1812 4.3.2.7, RFC 4443 2.4 e")
def test_nobody_is_told_who_has_no_address_of_his_own(node: Node) -> None:
    for source in ("0.0.0.0", "224.0.0.1"):
        result = node.raw(bytes(IP(src=source, dst="10.96.0.10") / UDP(sport=1, dport=99)))
        assert (result.outcome, result.answered) == (Outcome.REJECT, False)


@requirement("RFC 1812 4.3.2.7, RFC 4443 2.4 e")
@pytest.mark.parametrize("to", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01"])
def test_nobody_is_told_of_what_the_link_brought_to_many(node: Node, names: Names, to: str) -> None:
    packet = node.send(names.pod, 40000, names.service, 81).data
    rejected = bytes(Ether(src="02:00:00:00:00:01", dst=to) / quoted(read(packet)))
    result = node.engine.send(rejected, 0.0, "eth0", Link.ETHERNET)
    assert (result.outcome, result.answered) == (Outcome.REJECT, False)
    assert result.data == rejected


def test_the_answer_on_ethernet_goes_back_to_whom_it_came_from_with_its_vlan(node: Node) -> None:
    ethernet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / Dot1Q(vlan=7)
    frame = bytes(ethernet / IP(src="10.244.1.10", dst="10.96.0.10") / TCP(sport=40000, dport=81, flags="S"))
    answer = Ether(node.engine.send(frame, 0.0, "eth0", Link.ETHERNET).data)
    assert (answer.src, answer.dst, answer[Dot1Q].vlan) == ("02:00:00:00:00:02", "02:00:00:00:00:01", 7)
    assert answer[ICMP].code == 3


def answered(node: Node, now: float, source: str, count: int) -> int:
    """How many of so many rejected packets are answered."""
    node.now = now
    return sum(node.send(source, port, "10.96.0.10", 81).answered for port in range(1, count + 1))


@requirement("RFC 1812 4.3.2.8, RFC 4443 2.4 f")
def test_one_sender_gets_six_answers_and_then_one_each_second_as_from_linux(node: Node) -> None:
    assert answered(node, 0.0, "10.244.1.10", 20) == 6
    assert answered(node, 0.999, "10.244.1.10", 20) == 0
    assert answered(node, 1.0, "10.244.1.10", 20) == 1
    assert answered(node, 4.5, "10.244.1.10", 20) == 3
    assert answered(node, 1000.0, "10.244.1.10", 20) == 6
    assert node.engine.counters.answers == 16
    assert node.engine.counters.withheld == 84


@requirement("RFC 1812 4.3.2.8, RFC 4443 2.4 f")
def test_all_senders_together_get_fifty_answers_and_then_a_thousand_each_second(node: Node) -> None:
    assert sum(answered(node, 0.0, f"10.244.1.{host}", 1) for host in range(1, 101)) == 50
    assert sum(answered(node, 0.010, f"10.244.2.{host}", 1) for host in range(1, 101)) == 10


def test_what_must_not_be_answered_uses_nothing_up(node: Node) -> None:
    assert answered(node, 0.0, "224.0.0.1", 100) == 0
    assert node.engine.counters.withheld == 0
    assert answered(node, 0.0, "10.244.1.10", 6) == 6


def test_an_answer_that_there_is_no_room_for_uses_nothing_up(node: Node) -> None:
    packet = bytes(IP(src="10.244.1.10", dst="10.96.0.10") / UDP(sport=1, dport=99))
    for _ in range(100):
        batch = Batch(bytearray(packet), 1)
        batch.add(0, len(packet))
        node.engine.run(batch, 0.0)
        assert not node.engine.result(batch, 0).answered
    assert answered(node, 0.0, "10.244.1.10", 7) == 6


def test_answers_need_not_be_limited(table: ForwardingTable) -> None:
    with Engine(HOST, limits=LIMITS, answers=ALL_ANSWERS, seed=1) as engine:
        engine.apply(table)
        assert answered(Node(engine), 0.0, "10.244.1.10", 200) == 200


@pytest.mark.parametrize("rate", [Rate(1, count=0), Rate(1, seconds=0)])
def test_a_rate_of_nothing_is_refused(rate: Rate) -> None:
    with pytest.raises(DataplaneError, match="rate of 0"):
        Engine(limits=LIMITS, answers=AnswerRates(all=rate, each=rate))


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 30)), max_size=10))
def test_no_more_is_ever_answered_than_the_burst_and_the_rate_allow(sent: list[tuple[int, int]]) -> None:
    with Engine(HOST, limits=LIMITS, seed=1) as engine:
        engine.apply(small_table())
        node, milliseconds, told = Node(engine), 0, 0
        for passed, count in sent:
            milliseconds += passed
            told += answered(node, milliseconds / 1000, "10.244.1.10", count)
            assert told <= 6 + milliseconds / 1000
