"""Tables as the engine takes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dataplane.table import (
    Backend,
    Drop,
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
from dataplane.userspace.image import Host, Image, Surroundings, encode
from dataplane.userspace.owners import Owners
from native.library import lib

WEB = Pool((Backend("10.244.2.1", 8080, False), Backend("10.244.2.2", 8080, True, 3)))
LOCAL = Pool((Backend("10.244.2.2", 8080, True, 3),), pick=Pick.MAGLEV)


def frontend(address: str, service: str, pod: Verdict, outside: Verdict | None = None) -> Frontend:
    return Frontend(FrontendKey(address, Protocol.TCP, 80), service, pod, pod, outside or pod)


def image_of(*frontends: Frontend) -> Image:
    table = ForwardingTable({f.key: f for f in frontends})
    return encode(frontends, (), {}, Surroundings(table, Host()), Owners(set), Pick.ROUND_ROBIN, whole=True)


def test_the_frontends_of_a_service_port_share_its_pools() -> None:
    cluster, local = Forward(WEB, False), Forward(LOCAL, True)
    native = image_of(
        frontend("10.96.0.1", "default/web:http", cluster),
        frontend("10.96.0.2", "default/dns:dns", cluster),
        frontend("0.0.0.0", "default/web:http", Forward(WEB, True), local),
        frontend("10.96.0.3", "default/web:http", Reject(), Drop()),
    ).native
    pods = [(v.action, v.pool, v.masquerade) for v in (native.frontends[n].verdicts[0] for n in range(4))]
    forward, reject = lib.SERVICE_FORWARD, lib.SERVICE_REJECT
    assert pods == [(forward, 0, 0), (forward, 1, 0), (forward, 0, 1), (reject, 0, 0)]
    outside = [(v.action, v.pool, v.masquerade) for v in (native.frontends[n].verdicts[2] for n in range(4))]
    assert outside == [(forward, 0, 0), (forward, 1, 0), (forward, 2, 1), (lib.SERVICE_DROP, 0, 0)]


def test_pools_of_the_same_backends_have_them_once() -> None:
    forward = Forward(WEB, False)
    native = image_of(
        frontend("10.96.0.1", "default/web:http", forward), frontend("10.96.0.2", "a/b:c", forward)
    ).native
    assert (native.counts.pools, native.counts.backends) == (2, 2)
    assert [(native.pools[n].first, native.pools[n].count) for n in range(2)] == [(0, 2), (0, 2)]
    assert native.pools[0].owner != native.pools[1].owner


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        pytest.param(WEB, lib.SERVICE_ROUND_ROBIN, id="as the engine does"),
        pytest.param(replace(WEB, pick=Pick.LEAST_CONNECTIONS), lib.SERVICE_LEAST_CONNECTIONS, id="as it asks"),
        pytest.param(LOCAL, lib.SERVICE_RANDOM, id="no choice"),
    ],
)
def test_a_pool_picks(pool: Pool, expected: int) -> None:
    native = image_of(frontend("10.96.0.1", "default/web:http", Forward(pool, False))).native
    assert native.pools[0].pick == expected


def test_weights_and_places_of_backends_arrive() -> None:
    native = image_of(frontend("10.96.0.1", "default/web:http", Forward(WEB, False))).native
    assert [(b.local, b.weight, bytes(b.address.bytes)[:4]) for b in native.backends[0:2]] == [
        (0, 1, bytes([10, 244, 2, 1])),
        (1, 3, bytes([10, 244, 2, 2])),
    ]


def test_endpoints_that_flows_may_go_on_to_are_there_once_and_none_is_not_any() -> None:
    serving = frozenset(backend.endpoint for backend in WEB.backends)
    of_udp = [replace(frontend(f"10.96.0.{n}", "a/b:c", Reject()), serving=serving) for n in (1, 2)]
    nobody = replace(frontend("10.96.0.3", "a/b:c", Reject()), serving=frozenset())
    native = image_of(*of_udp, nobody, frontend("10.96.0.4", "a/b:c", Reject())).native
    pieces = [(f.serving_count, f.ends_flows) for f in (native.frontends[n] for n in range(4))]
    assert pieces == [(2, 1), (2, 1), (0, 1), (0, 0)]
    assert native.counts.endpoints == 2
