"""What the engine counts, as traffic of frontends and backends."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataplane.table import Endpoint, Family, ForwardingTable
from dataplane.traffic import Path, Taken, Traffic
from dataplane.userspace.flows import Tally
from dataplane.userspace.traffic import EngineTraffic, Tallies
from small_node import small_table

TABLE = small_table()
FRONTEND = next(f for f in TABLE.frontends.values() if f.pools and f.key.family is Family.IPV4)
SERVICE = FRONTEND.service
BACKEND = FRONTEND.pools[0].backends[0].endpoint
OTHER = Endpoint("10.244.9.9", 8080)


class Counting:
    """Tallies as somebody says they are."""

    def __init__(self) -> None:
        self.now: dict[tuple[str, Endpoint], Tally] = {}

    def __call__(self) -> Tallies:
        return dict(self.now)

    def set(self, connections: int, packets: int, service: str = SERVICE, backend: Endpoint = BACKEND) -> None:
        self.now[service, backend] = Tally(connections, 0, packets, 2 * packets, 100 * packets, 300 * packets)


def the_only(taken: Taken) -> tuple[Path, Traffic]:
    (found,) = taken.by_path.items()
    return found


def test_what_came_since_the_last_time_is_said_of_a_frontend_of_the_service() -> None:
    counting = Counting()
    counting.set(1, 5)
    traffic = EngineTraffic(counting)
    assert traffic.take(TABLE) == Taken({}), "what was before is not counted"
    counting.set(3, 12)
    path, came = the_only(traffic.take(TABLE))
    assert (TABLE.frontends[path.frontend].service, path.backend) == (SERVICE, BACKEND)
    assert path.frontend.family is Family.IPV4
    assert came == Traffic(2, 7, 700, 14, 2100)
    assert traffic.take(TABLE) == Taken({})


def test_services_that_are_gone_are_in_a_sum_of_their_own() -> None:
    counting = Counting()
    traffic = EngineTraffic(counting)
    counting.set(1, 5)
    counting.set(1, 2, "default/gone:http", OTHER)
    assert traffic.take(ForwardingTable()).unplaced == Traffic(2, 7, 700, 14, 2100)


def test_a_place_that_another_backend_had_meanwhile_begins_at_nothing() -> None:
    counting = Counting()
    counting.set(9, 90)
    traffic = EngineTraffic(counting)
    counting.set(1, 3)
    assert the_only(traffic.take(TABLE))[1] == Traffic(1, 3, 300, 6, 900)


@given(st.lists(st.tuples(st.sampled_from([SERVICE, "default/gone:x"]), st.integers(0, 5), st.booleans())))
def test_nothing_is_lost_and_nothing_is_said_twice(steps: list[tuple[str, int, bool]]) -> None:
    counting, everything = Counting(), Traffic()
    traffic = EngineTraffic(counting)
    sums: dict[str, int] = {}
    for service, packets, look in steps:
        sums[service] = sums.get(service, 0) + packets
        counting.set(0, sums[service], service)
        if look:
            everything = _plus(everything, traffic.take(TABLE))
    assert _plus(everything, traffic.take(TABLE)).packets_in == sum(sums.values())


def _plus(so_far: Traffic, taken: Taken) -> Traffic:
    for traffic in (*taken.by_path.values(), taken.unplaced):
        so_far = so_far.plus(traffic)
    return so_far


def test_an_engine_and_what_it_forwards_are_asked_alike(node: Any) -> None:
    traffic = EngineTraffic(node.engine.tallies)
    assert traffic.take(node.engine.table) == Taken({})
