"""A small node: two Services, in both families, and an engine that serves them.

    default/web:http    10.96.0.10:80/TCP   → 10.244.1.21:8080 (here), 10.244.2.23:8080 (elsewhere); NodePort 30080
    default/dns:dns     10.96.0.10:53/UDP   → 10.244.2.24:8053
    default/empty:http  10.96.0.10:81/TCP     rejected

and the same with fd00:96::10, fd00:244:1::21 and so on. Pods are told by 10.244.1.0/24 and fd00:244:1::/48; others
are masqueraded as 192.0.2.1 and fd00:192::1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataplane.reference import Packet
from dataplane.table import (
    Backend,
    DetectLocal,
    Endpoint,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
    Reject,
)
from dataplane.userspace.engine import Engine
from dataplane.userspace.image import Host
from dataplane.userspace.limits import Limits
from dataplane.userspace.result import Result
from wire import written

LIMITS = Limits(500, 100, 50, 100, 300, 200, 100, 100, 500, 200)
"""Small ones, so that making an engine costs nothing."""


HOST = Host(frozenset({"192.0.2.1", "fd00:192::1"}), {Family.IPV4: "192.0.2.1", Family.IPV6: "fd00:192::1"})


@dataclass(frozen=True)
class Names:
    """The addresses of one family, by what they are."""

    family: Family
    pod: str
    service: str
    node: str
    outside: str
    here: str
    elsewhere: str
    dns: str
    router: str


NAMES = {
    Family.IPV4: Names(
        Family.IPV4,
        pod="10.244.1.10",
        service="10.96.0.10",
        node="192.0.2.1",
        outside="203.0.113.9",
        here="10.244.1.21",
        elsewhere="10.244.2.23",
        dns="10.244.2.24",
        router="198.18.0.1",
    ),
    Family.IPV6: Names(
        Family.IPV6,
        pod="fd00:244:1::10",
        service="fd00:96::10",
        node="fd00:192::1",
        outside="2001:db8::9",
        here="fd00:244:1::21",
        elsewhere="fd00:244:2::23",
        dns="fd00:244:2::24",
        router="2001:db8:ffff::1",
    ),
}


def small_table() -> ForwardingTable:
    frontends = {f.key: f for names in NAMES.values() for f in _frontends(names)}
    return ForwardingTable(
        frontends,
        frozenset({"10.96.0.10", "fd00:96::10"}),
        frozenset({"10.96.0.0/12", "fd00:96::/112"}),
        frozenset({"0.0.0.0", "::"}),
        DetectLocal(("10.244.1.0/24", "fd00:244:1::/48")),
    )


def _frontends(names: Names) -> Iterator[Frontend]:
    web = Pool((Backend(names.here, 8080, True), Backend(names.elsewhere, 8080, False)))
    plain, masked = Forward(web, False), Forward(web, True)
    node_port = FrontendKey(names.family.any_address, Protocol.TCP, 30080)
    yield Frontend(FrontendKey(names.service, Protocol.TCP, 80), "default/web:http", plain, masked, masked)
    yield Frontend(node_port, "default/web:http", masked, masked, masked)

    dns = Pool((Backend(names.dns, 8053, False),))
    plain, masked = Forward(dns, False), Forward(dns, True)
    serving = frozenset({dns.backends[0].endpoint})
    key = FrontendKey(names.service, Protocol.UDP, 53)
    yield Frontend(key, "default/dns:dns", plain, masked, masked, None, serving)

    empty = FrontendKey(names.service, Protocol.TCP, 81)
    yield Frontend(empty, "default/empty:http", Reject(), Reject(), Reject())


class Node:
    """An engine whose packets are written in a few words. The time is `now`, in seconds."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now = 0.0

    def send(
        self,
        source: str,
        source_port: int,
        destination: str,
        port: int,
        protocol: Protocol = Protocol.TCP,
        signals: str = "S",
        payload: bytes = b"hello",
    ) -> Result:
        packet = Packet(Endpoint(source, source_port), Endpoint(destination, port), protocol)
        return self.raw(written(packet, signals, payload))

    def raw(self, data: bytes) -> Result:
        return self.engine.send(data, self.now, "eth0")
