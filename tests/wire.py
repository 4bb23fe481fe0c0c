"""Packets as bytes, written and read by Scapy: a second opinion on every header and checksum.

data = written(Packet(Endpoint("10.244.1.10", 40000), Endpoint("10.96.0.10", 80), Protocol.TCP), signals="S")
"""

from __future__ import annotations

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkInit
from scapy.packet import Packet as ScapyPacket

from dataplane.reference import Packet
from dataplane.table import Family, Protocol


def written(packet: Packet, signals: str = "S", payload: bytes = b"hello") -> bytes:
    """The whole IP packet. `signals` are TCP flags; SCTP opens with "S" and carries data otherwise."""
    source, destination = packet.source, packet.destination
    ip: ScapyPacket
    if packet.family is Family.IPV4:
        ip = IP(src=source.address, dst=destination.address, id=7)
    else:
        ip = IPv6(src=source.address, dst=destination.address)
    ports = {"sport": source.port, "dport": destination.port}
    if packet.protocol is Protocol.TCP:
        return bytes(ip / TCP(**ports, flags=signals, seq=1) / payload)
    if packet.protocol is Protocol.UDP:
        return bytes(ip / UDP(**ports) / payload)
    chunk = SCTPChunkInit(init_tag=1) if signals == "S" else SCTPChunkData(tsn=1, data=payload)
    return bytes(ip / SCTP(**ports, tag=0) / chunk)


def read(data: bytes) -> ScapyPacket:
    """An IP packet as Scapy understands it."""
    return IPv6(data) if data[0] >> 4 == 6 else IP(data)


def with_right_checksums(data: bytes) -> bytes:
    """The same packet, with every checksum computed anew."""
    packet = read(data)
    for layer in (IP, TCP, UDP, SCTP):
        if layer in packet:
            del packet[layer].chksum
    return bytes(packet)
