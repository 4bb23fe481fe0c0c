"""Checksums that a sender leaves to its network card, and segments that the card is to cut.

What must come out is told by Scapy: the same packet with its checksum made at the end.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, TCPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6
from scapy.layers.sctp import SCTP
from scapy.packet import Packet as ScapyPacket

from dataplane.reference import Outcome, Packet
from dataplane.table import Backend, Endpoint, Family, Forward, Frontend, FrontendKey, Pool, Protocol
from dataplane.userspace.batch import Batch, Link
from dataplane.userspace.engine import Engine
from native.checksum import checksum
from small_node import HOST, LIMITS, NAMES, Names, Node, small_table
from wire import read, with_right_checksums, written

LAYERS: dict[Protocol, type[ScapyPacket]] = {Protocol.TCP: TCP, Protocol.UDP: UDP, Protocol.SCTP: SCTP}
NO_ENDPOINTS = 81


def unfinished(data: bytes, protocol: Protocol) -> bytes:
    """The packet as a host hands it to its card: in the checksum's place the sum over the pseudo-header, if any."""
    packet = read(data)
    layer = packet[LAYERS[protocol]]
    length = len(data) - (len(packet) - len(packet.payload)) if packet.version == 4 else packet.plen
    if protocol is Protocol.SCTP:
        layer.chksum = 0
        return bytes(packet)
    addresses = data[12:20] if packet.version == 4 else data[8:40]
    rest = length.to_bytes(4, "big") + protocol.number.to_bytes(4, "big")
    layer.chksum = checksum(addresses + rest) ^ 0xFFFF
    return bytes(packet)


def through(engine: Engine, data: bytes, interface: str = "eth0", link: Link = Link.IP) -> tuple[bytes, Batch]:
    """An unfinished packet through the engine; what comes out, unfinished as it may be, and its batch."""
    room = len(data) + 48
    batch = Batch(bytearray(data).ljust(room), 1, link)
    batch.add(0, len(data), engine.interface(interface), room, is_unfinished=True)
    engine.run(batch, 0.0)
    return batch.data(0), batch


def finished(batch: Batch) -> bytes:
    assert batch.finish(0)
    return batch.data(0)


def with_sctp(engine: Engine, names: Names) -> None:
    """SCTP at the Service's port 80 as well."""
    pool = Pool((Backend(names.elsewhere, 8080, False),))
    key = FrontendKey(names.service, Protocol.SCTP, 80)
    verdicts = (Forward(pool, False), Forward(pool, True), Forward(pool, True))
    table = engine.table
    engine.apply(
        table.__class__(
            {**table.frontends, key: Frontend(key, "default/web:sctp", *verdicts)},
            table.cluster_ips,
            table.service_cidrs,
            table.node_addresses,
            table.detect_local,
        )
    )


@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("client", ["pod", "outside"])  # translated once, and on both sides
def test_a_checksum_finished_after_translating_is_right_in_both_directions(
    node: Node, names: Names, protocol: Protocol, client: str
) -> None:
    with_sctp(node.engine, names)
    port = 53 if protocol is Protocol.UDP else 80
    packet = Packet(Endpoint(getattr(names, client), 40000), Endpoint(names.service, port), protocol)
    _, batch = through(node.engine, unfinished(written(packet), protocol))
    assert node.engine.result(batch, 0).outcome is Outcome.FORWARD
    assert batch.is_unfinished(0)
    sent = finished(batch)
    assert sent == with_right_checksums(sent)

    to = read(sent)
    layer = to[LAYERS[protocol]]
    answer = Packet(Endpoint(to.dst, layer.dport), Endpoint(to.src, layer.sport), protocol)
    _, batch = through(node.engine, unfinished(written(answer, "SA"), protocol))
    assert node.engine.result(batch, 0).reply
    came = finished(batch)
    assert came == with_right_checksums(written(packet.reply, "SA"))


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])
def test_a_segment_of_65535_bytes_is_translated_as_it_is(node: Node, names: Names, protocol: Protocol) -> None:
    headers = 20 + (20 if protocol is Protocol.TCP else 8) + (0 if names.family is Family.IPV4 else 20)
    port = 53 if protocol is Protocol.UDP else 80
    packet = Packet(Endpoint(names.outside, 40000), Endpoint(names.service, port), protocol)
    segment = written(packet, payload=random.Random(1).randbytes(65535 - headers))
    assert len(segment) == 65535
    out, batch = through(node.engine, unfinished(segment, protocol))
    assert out[-1000:] == segment[-1000:]
    assert finished(batch) == with_right_checksums(out)


@given(
    st.sampled_from(Family),
    st.sampled_from([Protocol.TCP, Protocol.UDP]),
    st.integers(1, 65535),
    st.binary(max_size=100),
)
def test_translating_and_finishing_can_be_done_in_either_order(
    family: Family, protocol: Protocol, port: int, payload: bytes
) -> None:
    names = NAMES[family]
    to = Endpoint(names.service, 53 if protocol is Protocol.UDP else 80)
    whole = written(Packet(Endpoint(names.outside, port), to, protocol), payload=payload)
    with Engine(HOST, limits=LIMITS, seed=7) as first, Engine(HOST, limits=LIMITS, seed=7) as second:
        for engine in (first, second):
            engine.apply(small_table())
        _, batch = through(first, unfinished(whole, protocol))
        assert second.send(whole, 0.0, "eth0").data == finished(batch)
        assert not batch.finish(0), "finishing what is finished would spoil it"


def test_an_answer_to_an_unfinished_packet_is_whole(node: Node, names: Names) -> None:
    packet = Packet(Endpoint(names.pod, 40000), Endpoint(names.service, NO_ENDPOINTS), Protocol.TCP)
    out, batch = through(node.engine, unfinished(written(packet), Protocol.TCP))
    assert node.engine.result(batch, 0).answered
    assert not batch.is_unfinished(0)
    assert not batch.finish(0)
    assert read(out)[TCPerror].sport == 40000
    kind, field = (ICMP, "chksum") if names.family is Family.IPV4 else (ICMPv6DestUnreach, "cksum")
    right = read(out)
    right[kind].delfieldval(field)
    assert bytes(right) == out


def test_an_icmpv6_error_whose_checksum_is_unfinished_is_translated_and_whole(node: Node) -> None:
    names = NAMES[Family.IPV6]
    sent = node.send(names.outside, 40000, names.service, 80)
    error = IPv6(src=names.router, dst=names.node) / ICMPv6PacketTooBig(mtu=1280) / read(sent.data)
    error = IPv6(bytes(error))
    error[ICMPv6PacketTooBig].cksum = 0x1234  # whatever the sum over the pseudo-header may be
    out, batch = through(node.engine, bytes(error))
    assert node.engine.result(batch, 0).outcome is Outcome.FORWARD
    assert not batch.is_unfinished(0)
    right = IPv6(out)
    del right[ICMPv6PacketTooBig].cksum
    assert bytes(right) == out


def test_what_is_none_of_our_business_stays_unfinished(node: Node, names: Names) -> None:
    packet = Packet(Endpoint(names.pod, 40000), Endpoint(names.elsewhere, 8080), Protocol.TCP)
    data = unfinished(written(packet), Protocol.TCP)
    out, batch = through(node.engine, data)
    assert (out, batch.is_unfinished(0)) == (data, True)
    assert finished(batch) == with_right_checksums(written(packet))


def test_a_piece_of_a_packet_cannot_be_finished() -> None:
    piece = bytes(IP(src="10.244.1.10", dst="10.96.0.10", flags="MF") / UDP(sport=1, dport=53) / bytes(16))
    batch = Batch(bytearray(piece), 1)
    batch.add(0, len(piece), is_unfinished=True)
    assert not batch.finish(0)
    assert batch.data(0) == piece
