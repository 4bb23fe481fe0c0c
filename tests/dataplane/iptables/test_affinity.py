"""Who is remembered, for how long, and where that counts: the rules of session affinity, walked by the tracer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster import ADDRESSES, CLUSTER_IP, HOST_ADDRESSES, compiled, piece, port, service
from controller.objects import ClientIPConfig, SessionAffinityConfig
from dataplane.table import Family, ForwardingTable
from flows import packet
from iptables_tracer import Tracer, Way

SECONDS = 60
FIRST, SECOND = (True,), (False,)  #: what chance says where two endpoints are to be picked from
NODE_PORT = 30080
N1 = ADDRESSES["n1"][0]


@pytest.fixture
def tracer(written: Callable[..., str]) -> Tracer:
    return Tracer(written(_table(), Family.IPV4), HOST_ADDRESSES)


def _table(**policies: str) -> ForwardingTable:
    of = service(
        "web",
        port(80, node_port=NODE_PORT),
        session_affinity="ClientIP",
        session_affinity_config=SessionAffinityConfig(ClientIPConfig(SECONDS)),
        **policies,
    )
    return compiled(of, piece("web", "b1", "b3"))


def _reached(way: Way) -> str:
    return {ADDRESSES["b1"][0]: "b1", ADDRESSES["b3"][0]: "b3"}[way.destination.address]


def _connect(tracer: Tracer, client: str, chance: tuple[bool, ...], address: str = CLUSTER_IP, number: int = 80) -> str:
    return _reached(tracer.send(packet(client, address, number), chance))


def test_a_client_stays_with_its_first_endpoint(tracer: Tracer) -> None:
    assert _connect(tracer, "c1", SECOND) == "b3"
    assert _connect(tracer, "c1", FIRST) == "b3"


def test_another_client_is_free(tracer: Tracer) -> None:
    _connect(tracer, "c1", SECOND)
    assert _connect(tracer, "c2", FIRST) == "b1"


def test_a_client_is_remembered_just_so_long(tracer: Tracer) -> None:
    _connect(tracer, "c1", SECOND)
    tracer.now += SECONDS
    assert _connect(tracer, "c1", FIRST) == "b3"
    tracer.now += SECONDS + 1
    assert _connect(tracer, "c1", FIRST) == "b1"


def test_each_new_connection_renews_the_memory(tracer: Tracer) -> None:
    for _ in range(3):
        assert _connect(tracer, "c1", SECOND) == "b3"
        tracer.now += SECONDS


def test_all_addresses_of_a_service_port_share_one_memory(tracer: Tracer) -> None:
    assert _connect(tracer, "x1", SECOND) == "b3"
    assert _connect(tracer, "x1", FIRST, N1, NODE_PORT) == "b3"


def test_an_endpoint_that_may_not_serve_a_client_is_not_remembered_for_it(written: Callable[..., str]) -> None:
    table = _table(external_traffic_policy="Local")
    tracer = Tracer(written(table, Family.IPV4), HOST_ADDRESSES)
    assert _connect(tracer, "x1", SECOND) == "b3"
    assert _connect(tracer, "x1", FIRST, N1, NODE_PORT) == "b1"
