"""The whole agent, on the lab's API server, with a dataplane that can be read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from controller.agent import Agent, AgentOptions
from controller.api.access import Access
from controller.api.client import Client
from controller.node import NodeOptions
from controller.runner import Pace
from dataplane.fake import FakeDataplane
from dataplane.interface import Drift
from dataplane.reference import Outcome, Packet
from dataplane.table import Endpoint, FrontendKey, Protocol
from lab.api import registry
from lab.api.server import ApiServer
from lab.api.store import Store

WEB = FrontendKey("10.96.0.80", Protocol.TCP, 80)
FAST = Pace(minimum=0.001, retry_first=0.005)


def service(name: str = "web", cluster_ip: str = WEB.address) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": cluster_ip, "ports": ports},
    }


def endpoints(*addresses: str, name: str = "web") -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": name}
    return {
        "metadata": {"name": f"{name}-1", "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [a], "nodeName": "n1", "conditions": {"ready": True}} for a in addresses],
    }


def node(address: str = "192.0.2.1", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "n1", "labels": labels},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }


@dataclass
class Scene:
    store: Store
    server: ApiServer
    dataplane: FakeDataplane
    agent: Agent

    def backends(self, key: FrontendKey = WEB) -> set[str]:
        """Whom a pod can reach there now; nobody where it is refused."""
        frontend = self.dataplane.table.frontends.get(key)
        return {b.address for pool in frontend.pools for b in pool.backends} if frontend else set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.002)


def with_agent(
    act: Callable[[Scene], Any],
    *objects: tuple[registry.Resource, dict[str, Any]],
    dataplane: FakeDataplane | None = None,
) -> None:
    """Start an agent in a cluster of these objects, let `act` do its part, and stop everything."""

    async def main() -> None:
        store = Store()
        for resource, obj in objects:
            store.create(resource, obj)
            if "status" in obj:
                store.update(resource, obj, subresource="status")
        async with _scene(store, dataplane or FakeDataplane()) as scene:
            await act(scene)

    asyncio.run(main())


@contextlib.asynccontextmanager
async def _scene(store: Store, dataplane: FakeDataplane) -> AsyncIterator[Scene]:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = ApiServer(store)
    await server.start([listening])
    options = AgentOptions(NodeOptions("n1", cluster_cidrs=("10.244.0.0/16",)), FAST, healthz=None)
    async with Client(Access(f"http://127.0.0.1:{port}")) as client:
        agent = Agent(options, client, dataplane)
        task = asyncio.create_task(agent.run())
        try:
            yield Scene(store, server, dataplane, agent)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await server.stop()


NODE, SERVICE, SLICE = registry.NODES, registry.SERVICES, registry.ENDPOINT_SLICES


def test_the_first_sync_holds_everything_at_once() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.dataplane.tables))
        assert scene.backends() == {"10.244.1.5", "10.244.1.6"}
        assert len(scene.dataplane.tables[0].frontends) == len(scene.dataplane.table.frontends)

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5", "10.244.1.6")))


def test_nothing_is_programmed_before_the_node_has_an_address() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: all(r.synced.is_set() for r in scene.agent._reflectors))
        await asyncio.sleep(0.05)
        assert scene.dataplane.tables == []
        scene.store.update(NODE, node(), subresource="status")
        await scene.until(lambda: bool(scene.dataplane.tables))

    with_agent(act, (NODE, {"metadata": {"name": "n1"}}), (SERVICE, service()))


def test_a_change_of_endpoints_is_one_change_of_one_frontend() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.backends() == {"10.244.1.5"})
        scene.store.update(SLICE, endpoints("10.244.1.9"))
        await scene.until(lambda: scene.backends() == {"10.244.1.9"})
        assert list(scene.dataplane.changes[-1].frontends) == [WEB]

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))


def test_a_deleted_service_is_gone() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: WEB in scene.dataplane.table.frontends)
        scene.store.delete(SERVICE, "default", "web")
        await scene.until(lambda: WEB not in scene.dataplane.table.frontends)

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))


def test_a_zone_that_changes_moves_every_service() -> None:
    piece = endpoints("10.244.1.5", "10.244.1.6")
    for entry, zone in zip(piece["endpoints"], ("za", "zb"), strict=True):
        entry["hints"] = {"forZones": [{"name": zone}]}

    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.backends() == {"10.244.1.5"})
        labels = {"topology.kubernetes.io/zone": "zb"}
        scene.store.patch(NODE, "", "n1", {"metadata": {"labels": labels}}, "application/merge-patch+json")
        await scene.until(lambda: scene.backends() == {"10.244.1.6"})

    zone = {"topology.kubernetes.io/zone": "za"}
    with_agent(act, (NODE, node(**zone)), (SERVICE, service()), (SLICE, piece))


def test_a_failed_sync_is_repeated_in_full_and_nothing_is_lost() -> None:
    dataplane = FakeDataplane()
    dataplane.failures = 3

    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.backends() == {"10.244.1.5"})
        dataplane.failures = 2
        scene.store.update(SLICE, endpoints("10.244.1.9"))
        await scene.until(lambda: scene.backends() == {"10.244.1.9"})
        assert scene.agent.health.healthy

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")), dataplane=dataplane)


def test_while_syncs_fail_health_says_since_when() -> None:
    dataplane = FakeDataplane()

    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.dataplane.tables))
        dataplane.failures = 10**9
        scene.store.update(SLICE, endpoints("10.244.1.9"))
        await scene.until(lambda: scene.agent.health.pending_since is not None)
        scene.agent.health.stopwatch = lambda: 1e12
        assert not scene.agent.health.healthy

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")), dataplane=dataplane)


def test_what_somebody_else_broke_is_repaired() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.dataplane.tables))
        syncs = len(scene.dataplane.tables)
        scene.dataplane.drift = Drift(missing=("table ip svcplane",))
        await scene.until(lambda: len(scene.dataplane.tables) > syncs)
        assert scene.dataplane.audit() == Drift()

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))


def test_packets_meet_what_the_objects_say() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.backends() == {"10.244.1.5"})
        packet = Packet(Endpoint("10.244.1.7", 40000), Endpoint(WEB.address, WEB.port), Protocol.TCP)
        decision = scene.dataplane.send(packet)
        assert (decision.outcome, str(decision.backend)) == (Outcome.FORWARD, "10.244.1.5:8080")

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))


@pytest.mark.parametrize("path", ["/healthz", "/livez"])
def test_health_is_served_as_kube_proxy_serves_it(path: str) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        store = Store()
        store.create(NODE, node())
        store.update(NODE, node(), subresource="status")
        listening = socket.create_server(("127.0.0.1", 0))
        server = ApiServer(store)
        await server.start([listening])
        options = AgentOptions(NodeOptions("n1"), FAST, healthz=("127.0.0.1", port))
        access = Access(f"http://127.0.0.1:{listening.getsockname()[1]}")
        async with Client(access) as client, aiohttp.ClientSession() as session:
            dataplane = FakeDataplane()
            task = asyncio.create_task(Agent(options, client, dataplane).run())
            async with asyncio.timeout(20):
                while not dataplane.tables:
                    await asyncio.sleep(0.002)
                await asyncio.sleep(0.05)
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    assert answer.status == 200
                    body = await answer.json()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await server.stop()
        assert body["healthy"] is True
        assert body["lastUpdated"] == body["currentTime"]
        assert ("nodeEligible" in body) == (path == "/healthz")

    asyncio.run(main())
