"""The XDP program sends the engine what it wants, and everything else to the kernel: run on single packets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from dataplane.interface import DataplaneError
from dataplane.table import (
    Backend,
    Endpoint,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
)
from dataplane.userspace.image import Host
from dataplane.userspace.xdp import bpf
from dataplane.userspace.xdp.program import Maps, steer
from dataplane.userspace.xdp.steering import KEY_SIZE, PREFIX_KEY_SIZE, Steering

pytestmark = pytest.mark.kernel

MAC = "02:00:00:00:00:01"
LONGEST = 1792
_DEVMAP = 14
_LOOPBACK = (1).to_bytes(4, "little")


def _frontend(address: str, protocol: Protocol, port: int, backend: Endpoint) -> Frontend:
    verdict = Forward(Pool((Backend(*backend, local=True),)), masquerade=False)
    return Frontend(FrontendKey(address, protocol, port), "default/web:http", verdict, verdict, verdict)


FRONTENDS = (
    _frontend("10.96.0.10", Protocol.TCP, 80, Endpoint("10.244.1.21", 8080)),
    _frontend("10.96.0.10", Protocol.SCTP, 80, Endpoint("10.244.1.21", 8080)),
    _frontend("0.0.0.0", Protocol.UDP, 30053, Endpoint("10.244.1.22", 5353)),
    _frontend("fd00:96::10", Protocol.TCP, 80, Endpoint("fd00:244:1::21", 8080)),
)
TABLE = ForwardingTable(
    {frontend.key: frontend for frontend in FRONTENDS},
    cluster_ips=frozenset({"10.96.0.10", "fd00:96::10", "172.20.0.7"}),
    service_cidrs=frozenset({"10.96.0.0/12"}),
    node_addresses=frozenset({"192.0.2.1"}),
)
HOST = Host(frozenset({"192.0.2.1", "127.0.0.1", "fd00:192::1", "10.99.0.1"}))


@pytest.fixture(scope="module")
def program() -> Iterator[bpf.Program]:
    """Of an interface with sockets for all kinds of packets."""
    with loaded(0, 1) as program:
        yield program


@contextmanager
def loaded(*places: int) -> Iterator[bpf.Program]:
    """With sockets at these places of its map."""
    wanted = Steering()
    wanted.update(TABLE, HOST, lambda user: False)
    # A map of interfaces in the place of the map of sockets: for sockets there would have to be an interface.
    with (
        bpf.Map(bpf.HASH, KEY_SIZE, 4, 100) as endpoints,
        bpf.Map(bpf.LPM_TRIE, PREFIX_KEY_SIZE, 4, 100) as prefixes,
        bpf.Map(_DEVMAP, 4, 4, 2) as sockets,
    ):
        endpoints.set_all({key: bytes((role, 0, 0, 0)) for key, role in wanted.endpoints.moved().items()})
        prefixes.set_all({key: bytes((role, 0, 0, 0)) for key, role in wanted.prefixes.moved().items()})
        for place in places:
            sockets.set(place.to_bytes(4, "little"), _LOOPBACK)
        code = steer(Maps(endpoints, prefixes, sockets), bytes.fromhex(MAC.replace(":", "")), LONGEST)
        with bpf.Program("test", code) as made:
            yield made


def frame(packet: Packet, mac: str = MAC) -> bytes:
    return bytes(Ether(dst=mac, src="02:00:00:00:00:02") / packet)


def to_service(**more: object) -> Packet:
    return IP(**{"src": "10.244.1.10", "dst": "10.96.0.10", **more}) / TCP(sport=1025, dport=80)


ERROR = IP(src="10.244.1.10", dst="10.244.1.21") / TCP(sport=1025, dport=8080)

WANTED = {
    "to a frontend": to_service(),
    "to a frontend, with IP options": to_service(options=b"\x07\x07\x04\0\0\0\0\0"),
    "to a frontend, SCTP": IP(dst="10.96.0.10") / SCTP(sport=1, dport=80),
    "to a frontend, IPv6": IPv6(src="fd00:244:1::10", dst="fd00:96::10") / TCP(sport=1025, dport=80),
    "from a backend": IP(src="10.244.1.21", dst="10.244.1.10") / TCP(sport=8080, dport=1025),
    "from a backend, IPv6": IPv6(src="fd00:244:1::21", dst="fd00:244:1::10") / TCP(sport=8080, dport=1025),
    "to a node port": IP(dst="192.0.2.1") / UDP(sport=9, dport=30053),
    "to a cluster IP where nothing is served": IP(dst="10.96.0.10") / UDP(sport=9, dport=9),
    "to a cluster IP outside the ranges": IP(dst="172.20.0.7") / UDP(sport=9, dport=9),
    "to an address that a Service could have": IP(dst="10.97.1.1") / TCP(dport=80),
    "to an address of the host that a Service could have": IP(dst="10.99.0.1") / TCP(dport=80),
    "a later piece to a frontend": IP(dst="10.96.0.10", frag=100, proto=17) / Raw(b"x" * 32),
    "a later piece from a backend": IP(src="10.244.1.22", dst="10.0.0.9", frag=100, proto=17) / Raw(b"x" * 32),
    "a later piece to a node port": IP(dst="192.0.2.1", frag=100, proto=17) / Raw(b"x" * 32),
    "a piece to a cluster IP, IPv6": IPv6(dst="fd00:96::10") / IPv6ExtHdrFragment(nh=17, offset=9) / Raw(b"x" * 32),
    "an error": IP(dst="10.0.0.9") / ICMP(type=3, code=4) / ERROR,
    "an error, IPv6": IPv6(dst="2001:db8::1") / ICMPv6DestUnreach() / ERROR,
    "a ping to a cluster IP": IP(dst="10.96.0.10") / ICMP(),
    "as long as a frame": to_service() / Raw(b"x" * (LONGEST - 54)),
}

LEFT = {
    "to a backend directly": IP(src="10.244.1.10", dst="10.244.1.21") / TCP(sport=1025, dport=8080),
    "to another port of the node": IP(dst="192.0.2.1") / UDP(sport=9, dport=22),
    "to a node port, other protocol": IP(dst="192.0.2.1") / TCP(sport=9, dport=30053),
    "to a node port on loopback": IP(dst="127.0.0.1") / UDP(sport=9, dport=30053),
    "from a backend, other port": IP(src="10.244.1.21", dst="10.244.1.10") / TCP(sport=8081, dport=1025),
    "elsewhere": IP(dst="203.0.113.1") / TCP(dport=80),
    "from this host's own address": to_service(src="192.0.2.1"),
    "from this host's own address, IPv6": IPv6(src="fd00:192::1", dst="fd00:96::10") / TCP(dport=80),
    "an error from this host's own address": IP(src="192.0.2.1", dst="10.0.0.9") / ICMP(type=3) / ERROR,
    "a later piece elsewhere": IP(dst="203.0.113.1", frag=100, proto=6) / Raw(b"x" * 32),
    "a later piece to a backend": IP(dst="10.244.1.22", frag=100, proto=17) / Raw(b"x" * 32),
    "a ping to the node": IP(dst="192.0.2.1") / ICMP(),
    "a ping, IPv6": IPv6(dst="fd00:192::1") / ICMPv6EchoRequest(),
    "ARP": ARP(pdst="192.0.2.1"),
    "tagged": Dot1Q(vlan=7) / to_service(),
    "tagged twice": Dot1AD(vlan=8) / Dot1Q(vlan=7) / to_service(),
    "longer than a frame": to_service() / Raw(b"x" * (LONGEST - 53)),
}


@pytest.mark.parametrize("name", WANTED)
def test_wanted_by_the_engine(program: bpf.Program, name: str) -> None:
    assert program.run(frame(WANTED[name])) == bpf.XDP_REDIRECT


OPENS = (to_service(), to_service(options=b"\x07\x07\x04\0\0\0\0\0"), WANTED["from a backend, IPv6"])


def test_what_has_syn_goes_to_the_second_socket_and_all_else_to_the_first() -> None:
    others = [packet.copy() for packet in OPENS]
    for packet in others:
        packet[TCP].flags = "PA"
    others.append(WANTED["to a node port"])
    with loaded(0) as first, loaded(1) as second:
        for packet in OPENS:
            assert (first.run(frame(packet)), second.run(frame(packet))) == (bpf.XDP_PASS, bpf.XDP_REDIRECT)
        for packet in others:
            assert (first.run(frame(packet)), second.run(frame(packet))) == (bpf.XDP_REDIRECT, bpf.XDP_PASS)


@pytest.mark.parametrize("name", LEFT)
def test_left_to_the_kernel(program: bpf.Program, name: str) -> None:
    assert program.run(frame(LEFT[name])) == bpf.XDP_PASS


def test_left_to_the_kernel_as_it_is_for_another_interface(program: bpf.Program) -> None:
    assert program.run(frame(to_service(), "02:00:00:00:00:09")) == bpf.XDP_PASS
    assert program.run(frame(to_service(), "06:00:00:00:00:01")) == bpf.XDP_PASS


@pytest.mark.parametrize("mac", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01"])
def test_left_to_the_kernel_as_it_is_for_many(program: bpf.Program, mac: str) -> None:
    # It drops packets for one address that came in so (RFC 1122, 3.3.6); a Service must not answer them.
    assert program.run(frame(to_service(), mac)) == bpf.XDP_PASS


@pytest.mark.parametrize("length", range(14, 54, 2))
def test_left_to_the_kernel_as_it_is_cut_short(program: bpf.Program, length: int) -> None:
    packet = frame(IP(dst="203.0.113.1") / TCP(dport=80))[:length]
    assert program.run(packet) == bpf.XDP_PASS


def test_the_kernel_says_why_it_refuses_a_program() -> None:
    # r0 = *(u8 *)(r1 + 4096): there is no such byte.
    with pytest.raises(DataplaneError, match=r"load the XDP program odd: Permission denied \(EACCES\): .*off=4096"):
        bpf.Program("odd", bytes.fromhex("7110001000000000" + "9500000000000000"))
