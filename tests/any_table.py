"""Any table of forwarding: drawn by chance from a seed, because drawing each part by hypothesis takes a second.

Its worlds are small on purpose: few addresses and ports, so that clients are backends, backends are shared, and what
one table serves the next refuses.
"""

from __future__ import annotations

import random

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
from dataplane.userspace.image import Host
from dataplane.userspace.limits import Limits

SMALL = Limits(500, 100, 50, 100, 300, 200, 100, 100, 500, 200)
"""Room for any of these tables, and making an engine costs nothing."""

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


def some_table(seed: int) -> ForwardingTable:
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
