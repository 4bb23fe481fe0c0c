"""A whole agent, on the lab's API server, with a dataplane that can be read: for tests of what it does when.

with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from controller.agent import Agent, AgentOptions
from controller.api.access import Access
from controller.api.backoff import Backoff
from controller.api.client import Client
from controller.node import NodeOptions
from controller.runner import Pace
from dataplane.conntrack_room import Room
from dataplane.fake import FakeDataplane
from dataplane.packets import Packets, PortPackets
from dataplane.table import ForwardingTable, FrontendKey, Protocol
from dataplane.traffic import Taken
from lab.api import registry
from lab.api.server import ApiServer
from lab.api.store import Store
from patience import PATIENCE
from ports import own_port

NODE, SERVICE, SLICE = registry.NODES, registry.SERVICES, registry.ENDPOINT_SLICES

WEB = FrontendKey("10.96.0.80", Protocol.TCP, 80)


class FakeTraffic:
    """Counts nothing by itself: what is put into `coming` is what flowed."""

    lost = 0

    def __init__(self) -> None:
        self.coming: list[Taken] = []

    def take(self, table: ForwardingTable) -> Taken:
        return self.coming.pop(0) if self.coming else Taken({})

    def close(self) -> None:
        pass


class FakePackets:
    """A dataplane with one port that has seen something of everything, and as many flows as somebody says."""

    flows = 2

    def packets(self) -> Packets | None:
        outcomes = {"forwarded": 5, "passed": 1, "answered": 0, "dropped": 1, "lost": 0}
        return Packets((PortPackets("queue 1", outcomes, 700, 3, 0),), {"malformed": 1}, self.flows, 1000, 0)


class FakeRoom:
    """A connection table that is as full as somebody says."""

    def __init__(self) -> None:
        self.room = Room(entries=10, limit=1000, dropped=0)

    def look(self) -> Room:
        return self.room


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
    port: int  #: of the API server
    room: FakeRoom

    def backends(self, key: FrontendKey = WEB) -> set[str]:
        """Whom a pod can reach there now; nobody where it is refused."""
        frontend = self.dataplane.table.frontends.get(key)
        return {b.address for pool in frontend.pools for b in pool.backends} if frontend else set()

    @property
    def connected(self) -> bool:
        """Whether every watch is open."""
        return all(reflector.connected for reflector in self.agent._reflectors)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.agent.metrics.registry.get_sample_value(name, labels)

    async def stop_api_server(self) -> None:
        await self.server.stop()

    async def start_api_server(self, store: Store | None = None) -> None:
        """Again, at the same address; with `store` it is another one, with another history."""
        self.store = store or self.store
        self.server = ApiServer(self.store)
        await self.server.start([socket.create_server(("127.0.0.1", self.port))])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.002)


def with_agent(
    act: Callable[[Scene], Any],
    *objects: tuple[registry.Resource, dict[str, Any]],
    dataplane: FakeDataplane | None = None,
    silence: float = 120.0,
    **node_options: Any,
) -> None:
    """Start an agent in a cluster of these objects, let `act` do its part, and stop everything.

    `silence`: how long a watch may say nothing. `node_options` are NodeOptions.
    """

    async def main() -> None:
        store = Store()
        for resource, obj in objects:
            store.create(resource, obj)
            if "status" in obj:
                store.update(resource, obj, subresource="status")
        async with _scene(store, dataplane or FakeDataplane(), silence, node_options) as scene:
            await act(scene)

    asyncio.run(main())


@contextlib.asynccontextmanager
async def _scene(
    store: Store, dataplane: FakeDataplane, silence: float, node_options: dict[str, Any]
) -> AsyncIterator[Scene]:
    port = own_port()  # it is left and taken again
    listening = socket.create_server(("127.0.0.1", port))
    server = ApiServer(store)
    await server.start([listening])
    node = NodeOptions(**{"name": "n1", "cluster_cidrs": ("10.244.0.0/16",), **node_options})
    options = AgentOptions(node, FAST, healthz=None)
    async with Client(Access(f"http://127.0.0.1:{port}"), silence=silence) as client:
        room = FakeRoom()
        agent = Agent(options, client, dataplane, FakeTraffic(), room, FakePackets())
        for reflector in agent._reflectors:
            reflector._backoff = reflector._while_absent = Backoff(first=0.005, most=0.05)
        task = asyncio.create_task(agent.run())
        scene = Scene(store, server, dataplane, agent, port, room)
        try:
            yield scene
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await scene.server.stop()
