"""healthCheckNodePort: what is answered for which Service, and where."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from cluster import VIP, draining, dual_stack, endpoint, piece, port, service, unready, view
from controller.compile import compile_service
from controller.health_check import HealthCheck
from controller.health_check_servers import HealthCheckServers
from controller.objects import EndpointSlice, Service
from dataplane.table import Family
from fault import fault
from ports import own_port

LOCAL: Mapping[str, Any] = {"external_traffic_policy": "Local", "health_check_node_port": 32000, "vips": (VIP,)}


def checks(of: Service, *slices: EndpointSlice) -> tuple[HealthCheck, ...]:
    return compile_service(of, slices, view()).health_checks


class TestTheCount:
    @pytest.mark.parametrize(
        ("slices", "count"),
        [
            ((), 0),
            ((piece("web", "b1", "b2", "b3"),), 2),
            ((piece("web", "b3"),), 0),
            ((piece("web", "b1", ports=(("", 8080), ("metrics", 9090))),), 1),
            ((piece("web", "b1"), piece("web", "b2", name="web-2")), 2),
            ((piece("web", draining("b1")),), 0),
            ((piece("web", unready("b1"), "b2"),), 1),
            ((piece("web", endpoint("b1", ready=True, terminating=True)),), 1),
        ],
        ids=["none", "here", "elsewhere", "ports", "slices", "draining", "unready", "published anyway"],
    )
    def test_is_that_of_ready_addresses_on_this_node(self, slices: tuple[EndpointSlice, ...], count: int) -> None:
        assert checks(service("web", **LOCAL), *slices) == (HealthCheck(Family.IPV4, 32000, count),)

    def test_is_made_for_each_family(self) -> None:
        slices = piece("web", "b1", "b2"), piece("web", "b1", name="web-6", family=Family.IPV6)
        found = checks(dual_stack("web", **LOCAL), *slices)
        assert found == (HealthCheck(Family.IPV4, 32000, 2), HealthCheck(Family.IPV6, 32000, 1))


@pytest.mark.parametrize(
    "change",
    [
        {"external_traffic_policy": "Cluster"},
        {"health_check_node_port": None},
        {"type": "NodePort", "vips": ()},
        {"cluster_ip": "None"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_only_load_balancers_with_a_local_policy_have_a_health_check(change: dict[str, Any]) -> None:
    ports = (port(80, node_port=30080),)
    assert checks(service("web", *ports, **{**LOCAL, **change}), piece("web", "b1")) == ()


# --- the servers ------------------------------------------------------------------------------------------------------

WEB, SHOP = ("default", "web"), ("default", "shop")
HERE = frozenset({"127.0.0.1"})


def check(number: int, count: int = 1) -> tuple[HealthCheck, ...]:
    return (HealthCheck(Family.IPV4, number, count),)


class Desk:
    """The servers, and a load balancer that asks them."""

    def __init__(self) -> None:
        self.healthy = True
        self.failures: list[tuple[tuple[str, str], str]] = []
        self.servers = HealthCheckServers(lambda: self.healthy, lambda *failure: self.failures.append(failure))

    async def ask(self, number: int, address: str = "127.0.0.1", method: str = "GET", path: str = "/") -> Any:
        """(status, weight in the header, body), or None if nobody listens."""
        async with aiohttp.ClientSession() as session:
            try:
                async with session.request(method, f"http://{address}:{number}{path}") as answer:
                    weight = answer.headers["X-Load-Balancing-Endpoint-Weight"]
                    return answer.status, weight, await answer.json()
            except aiohttp.ClientConnectionError:
                return None


def with_desk(act: Any) -> None:
    async def main() -> None:
        desk = Desk()
        try:
            await act(desk)
        finally:
            await desk.servers.close()

    asyncio.run(main())


def body(count: int, healthy: bool = True, name: str = "web") -> dict[str, Any]:
    named = {"namespace": "default", "name": name}
    return {"service": named, "localEndpoints": count, "serviceProxyHealthy": healthy}


def test_the_answer_follows_the_endpoints_and_the_proxy() -> None:
    number = own_port()

    async def act(desk: Desk) -> None:
        await desk.servers.update({WEB: check(number, 0)}, HERE)
        assert await desk.ask(number) == (503, "0", body(0))
        await desk.servers.update({WEB: check(number, 3)}, HERE)
        assert await desk.ask(number) == (200, "3", body(3))
        desk.healthy = False
        assert await desk.ask(number) == (503, "3", body(3, healthy=False))
        desk.healthy = True
        assert await desk.ask(number) == (200, "3", body(3))
        await desk.servers.update({}, HERE)
        assert await desk.ask(number) is None

    with_desk(act)


def test_any_method_and_any_path_is_answered() -> None:
    number = own_port()

    async def act(desk: Desk) -> None:
        await desk.servers.update({WEB: check(number)}, HERE)
        for method, path in (("POST", "/any/where?x=1"), ("DELETE", "/healthz"), ("OPTIONS", "/")):
            assert (await desk.ask(number, method=method, path=path))[0] == 200

    with_desk(act)


def test_services_come_go_and_move_independently() -> None:
    first, second, third = own_port(), own_port(), own_port()

    async def act(desk: Desk) -> None:
        await desk.servers.update({WEB: check(first, 1), SHOP: check(second, 2)}, HERE)
        await desk.servers.update({WEB: check(third, 4)}, HERE)
        assert [await desk.ask(n) for n in (first, second)] == [None, None]
        assert await desk.ask(third) == (200, "4", body(4))
        await desk.servers.update({WEB: check(third, 4), SHOP: check(first, 5)}, HERE)
        assert await desk.ask(first) == (200, "5", body(5, name="shop"))

    with_desk(act)


def test_it_listens_only_where_node_ports_answer() -> None:
    number = own_port()

    async def act(desk: Desk) -> None:
        await desk.servers.update({WEB: check(number)}, frozenset({"127.0.0.2", "::1"}))
        assert await desk.ask(number) is None
        assert (await desk.ask(number, "127.0.0.2"))[0] == 200
        await desk.servers.update({WEB: check(number)}, frozenset({"0.0.0.0", "::1"}))
        assert (await desk.ask(number))[0] == 200

    with_desk(act)


@fault(
    "a healthCheckNodePort is taken",
    place=170,
    seen="`FailedToStartServiceHealthcheck` on the Service; it is served",
    well="within 10 s",
    kube_proxy="at the next sync",
)
def test_a_port_that_is_taken_is_told_once_and_tried_again() -> None:
    async def act(desk: Desk) -> None:
        with socket.create_server(("127.0.0.2", own_port("127.0.0.2"))) as other:
            number = other.getsockname()[1]
            both = frozenset({"127.0.0.1", "127.0.0.2"})
            await desk.servers.update({WEB: check(number)}, both)
            await desk.servers.update({WEB: check(number)}, both)
            told = f"health check: can't listen on 127.0.0.2:{number}: Address already in use"
            assert desk.failures == [(WEB, told)]
            assert await desk.ask(number) is None  # half a server would tell half the balancers
            assert desk.servers.incomplete
        await desk.servers.update({WEB: check(number)}, both)
        assert (await desk.ask(number))[0] == 200
        assert not desk.servers.incomplete

    with_desk(act)
