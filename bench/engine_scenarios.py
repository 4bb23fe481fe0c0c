"""What the engine is measured with: packets, made from templates, and tables of Services.

The names are those of the kernel's own load-balancer benchmark (tools/testing/selftests/bpf, `bench xdp-lb`) where the
same is measured: "lru-hit" is a flow that is known, "ch" one that is new.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from dataplane.reference import Outcome
from dataplane.table import (
    Backend,
    DetectLocal,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
)

STRIDE = 128  #: bytes from one packet to the next
BACKENDS = 4
_ETHERNET = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


@dataclass(frozen=True)
class Scenario:
    """`flows` different ones, each opened before if `established`; `outcome` is what every packet must meet."""

    name: str
    flows: int
    established: bool = True
    protocol: Protocol = Protocol.TCP
    family: Family = Family.IPV4
    services: int = 1
    special: str = ""
    outcome: Outcome = Outcome.FORWARD
    bar: float | None = None


SCENARIOS = (
    Scenario("tcp-v4-lru-hit", 1),
    Scenario("tcp-v6-lru-hit", 1, family=Family.IPV6),
    Scenario("udp-v4-lru-hit", 1, protocol=Protocol.UDP),
    Scenario("udp-v6-lru-hit", 1, protocol=Protocol.UDP, family=Family.IPV6),
    Scenario("tcp-v4-lru-diverse", 4096, bar=25),
    Scenario("tcp-v6-lru-diverse", 4096, family=Family.IPV6),
    Scenario("udp-v4-lru-diverse", 4096, protocol=Protocol.UDP),
    Scenario("tcp-v4-lru-diverse, a million flows", 1 << 20, bar=60),
    Scenario("tcp-v4-lru-diverse", 4096, services=30_000),
    Scenario("tcp-v4-ch-diverse", 1 << 17, established=False, bar=250),
    Scenario("tcp-v6-ch-diverse", 1 << 17, established=False, family=Family.IPV6),
    Scenario("tcp-v4-ch-diverse", 1 << 17, established=False, services=30_000, bar=250),
    Scenario("tcp-v4-rst-miss", 4096, established=False, special="R", outcome=Outcome.DROP),
    Scenario("pass-v4-no-vip", 1, established=False, special="no-vip", outcome=Outcome.PASS),
    Scenario("pass-v6-no-vip", 1, established=False, special="no-vip", family=Family.IPV6, outcome=Outcome.PASS),
    Scenario("pass-v4-icmp", 1, established=False, special="icmp", outcome=Outcome.PASS),
    Scenario("pass-non-ip", 1, established=False, special="arp", outcome=Outcome.PASS),
    Scenario("v4-options", 1, special="options"),
)


def table(services: int, families: tuple[Family, ...] = tuple(Family)) -> ForwardingTable:
    """So many Services, each with TCP and UDP port 80, four backends, and an address in each of the families."""
    frontends = {f.key: f for number in range(services) for family in families for f in _frontends(number, family)}
    return ForwardingTable(
        frontends,
        frozenset(key.address for key in frontends),
        frozenset({"10.96.0.0/12", "fd00:96::/64"}),
        frozenset(),
        DetectLocal(("10.0.0.0/10", "fd00:1::/32")),
    )


def _frontends(number: int, family: Family) -> Iterator[Frontend]:
    if family is Family.IPV4:
        cluster_ip = f"10.{96 + number // 65536}.{number // 256 % 256}.{number % 256}"
    else:
        cluster_ip = f"fd00:96::1:{number:x}"
    pool = Pool(tuple(Backend(_pod(BACKENDS * number + i, family), 8080, False) for i in range(BACKENDS)))
    forward = Forward(pool, masquerade=False)
    serving = frozenset(backend.endpoint for backend in pool.backends)
    for protocol in (Protocol.TCP, Protocol.UDP):
        key = FrontendKey(cluster_ip, protocol, 80)
        of_udp = serving if protocol is Protocol.UDP else frozenset()
        yield Frontend(key, f"default/s{number}:{protocol}", forward, forward, forward, None, of_udp)


def _pod(number: int, family: Family) -> str:
    """Every backend has an address of its own, as pods have."""
    if family is Family.IPV4:
        return f"10.{200 + number // 65536}.{number // 256 % 256}.{number % 256}"
    return f"fd00:200::1:{number:x}"


def packets(scenario: Scenario, signals: str) -> tuple[bytearray, int]:
    """All packets of a scenario, STRIDE bytes apart and in the order of their flows, and how long each is."""
    template = bytes(_template(scenario, signals))
    network, address = 14, 16 if scenario.family is Family.IPV6 else 4
    source = network + (8 if scenario.family is Family.IPV6 else 12)
    memory = bytearray(template.ljust(STRIDE, b"\0") * scenario.flows)
    for flow in range(scenario.flows if scenario.flows > 1 else 0):
        at = flow * STRIDE
        struct.pack_into(">I", memory, at + source + address - 4, 0x0A000001 + flow // 4)
        struct.pack_into(">H", memory, at + source + 2 * address, 10000 + flow % 4)
        service = flow % scenario.services
        struct.pack_into(">H", memory, at + source + 2 * address - 2, service % 65536)
    return memory, len(template)


def _template(scenario: Scenario, signals: str) -> Packet:
    if scenario.special == "arp":
        return _ETHERNET / ARP()
    ip = (
        IPv6(src="fd00:1::a00:1", dst="fd00:96::1:0")
        if scenario.family is Family.IPV6
        else IP(src="10.0.0.1", dst="10.96.0.0", options=[IPOption_NOP()] * 4 if scenario.special == "options" else [])
    )
    if scenario.special == "no-vip":
        ip.dst = "fd00:7::7" if scenario.family is Family.IPV6 else "203.0.113.7"
    if scenario.special == "icmp":
        ip.dst = "203.0.113.7"
        return _ETHERNET / ip / ICMP()
    transport = (
        TCP(sport=10000, dport=80, flags=signals) if scenario.protocol is Protocol.TCP else UDP(sport=10000, dport=80)
    )
    return _ETHERNET / ip / transport / b"bench___payload!"
