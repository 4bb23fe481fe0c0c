"""Traffic summed up by Service and backend: nothing lost, nothing twice, no more series than asked for."""

from __future__ import annotations

import asyncio
import dataclasses

from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from controller.metrics_server import metrics_application
from controller.metrics_traffic import TrafficMetrics
from controller.traffic import ServedBy, ServicePort, TrafficTotals, service_labels
from dataplane.table import Backend, Endpoint, Forward, ForwardingTable, Frontend, FrontendKey, Pool, Protocol
from dataplane.traffic import Path, Taken, Traffic
from whole_agent import FakeTraffic

PODS = tuple(Endpoint(f"10.244.1.{n}", 8080) for n in range(1, 5))
SOME = Traffic(1, 10, 1000, 8, 800)


def key(number: int) -> FrontendKey:
    return FrontendKey(f"10.96.0.{number}", Protocol.TCP, 80)


def name(number: int) -> ServicePort:
    return ServicePort(f"default/s{number}:http", Protocol.TCP)


def table(*numbers: int, pods: tuple[Endpoint, ...] = PODS) -> ForwardingTable:
    verdict = Forward(Pool(tuple(Backend(*pod, False) for pod in pods)), False)
    frontends = (Frontend(key(n), name(n).name, verdict, verdict, verdict) for n in numbers)
    return ForwardingTable({f.key: f for f in frontends})


def taken(*paths: tuple[int, Endpoint], traffic: Traffic = SOME) -> Taken:
    return Taken({Path(key(number), pod): traffic for number, pod in paths})


def test_all_addresses_of_a_service_port_are_one_sum() -> None:
    served = table(1)
    node_port = FrontendKey("0.0.0.0", Protocol.TCP, 30080)
    both = ForwardingTable(
        {**served.frontends, node_port: dataclasses.replace(served.frontends[key(1)], key=node_port)}
    )
    totals = TrafficTotals(10)
    totals.add(Taken({Path(key(1), PODS[0]): SOME, Path(node_port, PODS[0]): SOME}), both)
    assert totals.services.by_key == {name(1): SOME.plus(SOME)}
    assert totals.backends.by_key == {ServedBy(name(1), PODS[0]): SOME.plus(SOME)}


def test_who_comes_when_there_are_as_many_as_may_be_is_other_and_who_was_there_stays() -> None:
    totals = TrafficTotals(1)
    totals.add(taken((1, PODS[0])), table(1, 2))
    totals.add(taken((2, PODS[1]), (1, PODS[0])), table(1, 2))
    assert totals.services.by_key == {name(1): SOME.plus(SOME)}
    assert totals.services.other == SOME


def test_a_service_that_is_gone_makes_room() -> None:
    totals = TrafficTotals(1)
    totals.add(taken((1, PODS[0])), table(1, 2))
    totals.add(taken(), table(2))
    totals.add(taken((2, PODS[0])), table(2))
    assert totals.services.by_key == {name(2): SOME}
    assert totals.backends.by_key == {ServedBy(name(2), PODS[0]): SOME}


def test_a_backend_that_is_gone_stays_for_as_long_as_its_connections_carry_anything() -> None:
    totals = TrafficTotals(10)
    without = table(1, pods=PODS[1:])
    totals.add(taken((1, PODS[0])), table(1))
    totals.add(taken((1, PODS[0]), traffic=Traffic(0, 1, 100)), without)
    assert totals.backends.by_key == {ServedBy(name(1), PODS[0]): Traffic(1, 11, 1100, 8, 800)}
    totals.add(taken(), without)
    assert totals.backends.by_key == {}
    assert totals.services.by_key == {name(1): Traffic(1, 11, 1100, 8, 800)}


steps = st.lists(
    st.tuples(
        st.sets(st.tuples(st.integers(1, 4), st.sampled_from(PODS)), max_size=6),
        st.builds(Traffic, *[st.integers(0, 9)] * 5),
        st.sets(st.integers(1, 4)),
    ),
    max_size=12,
)


@given(steps, st.integers(1, 3))
def test_what_is_told_apart_and_what_is_not_are_together_all_of_it(
    all_steps: list[tuple[set[tuple[int, Endpoint]], Traffic, set[int]]], limit: int
) -> None:
    """As long as nobody leaves; and there are never more series than the limit."""
    totals, everything = TrafficTotals(limit), Traffic()
    present: set[int] = set()
    for paths, traffic, more in all_steps:
        present |= more
        totals.add(taken(*paths, traffic=traffic), table(*present))
        for _ in paths:
            everything = everything.plus(traffic)
        for sums in (totals.services, totals.backends):
            total = sums.other
            for one in sums.by_key.values():
                total = total.plus(one)
            assert total == everything
            assert len(sums.by_key) <= limit


def test_a_service_s_labels_are_the_parts_of_its_name() -> None:
    assert service_labels(ServicePort("default/web", Protocol.UDP)) == {
        "namespace": "default",
        "service": "web",
        "port": "",
        "protocol": "UDP",
    }
    assert service_labels(name(1))["port"] == "http"


def test_whoever_asks_for_metrics_gets_what_flowed_until_now() -> None:
    async def main() -> None:
        source, registry = FakeTraffic(), CollectorRegistry()
        source.coming = [taken((1, PODS[0]))]
        metrics = TrafficMetrics(source, lambda: table(1), limit=5)
        registry.register(metrics)
        application = metrics_application(registry, "nftables", dict, refresh=metrics.refresh)
        async with TestClient(TestServer(application)) as client, client.get("/metrics") as answer:
            text = await answer.text()
        metrics.close()
        service = 'namespace="default",port="http",protocol="TCP",service="s1"'
        assert f"svcplane_service_connections_total{{{service}}} 1.0" in text
        assert f'svcplane_service_packets_total{{direction="in",{service}}} 10.0' in text
        assert f'svcplane_backend_bytes_total{{backend="10.244.1.1:8080",direction="out",{service}}} 800.0' in text
        assert "svcplane_traffic_series_limit 5.0" in text

    asyncio.run(main())


def test_a_source_that_fails_leaves_the_totals_as_they_are() -> None:
    class Broken(FakeTraffic):
        def take(self, _: ForwardingTable) -> Taken:
            raise PermissionError("no")

    async def main() -> None:
        metrics = TrafficMetrics(Broken(), lambda: table(1), limit=5)
        await metrics.refresh()
        assert list(metrics.collect())
        metrics.close()

    asyncio.run(main())
