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
from controller.api.client import Client
from controller.node import NodeOptions
from controller.runner import Pace
from dataplane.fake import FakeDataplane
from dataplane.table import FrontendKey, Protocol
from lab.api import registry
from lab.api.server import ApiServer
from lab.api.store import Store

NODE, SERVICE, SLICE = registry.NODES, registry.SERVICES, registry.ENDPOINT_SLICES

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
    port: int  #: of the API server

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
    node_port_addresses: tuple[str, ...] = ("primary",),
) -> None:
    """Start an agent in a cluster of these objects, let `act` do its part, and stop everything."""

    async def main() -> None:
        store = Store()
        for resource, obj in objects:
            store.create(resource, obj)
            if "status" in obj:
                store.update(resource, obj, subresource="status")
        async with _scene(store, dataplane or FakeDataplane(), node_port_addresses) as scene:
            await act(scene)

    asyncio.run(main())


@contextlib.asynccontextmanager
async def _scene(store: Store, dataplane: FakeDataplane, node_port_addresses: tuple[str, ...]) -> AsyncIterator[Scene]:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = ApiServer(store)
    await server.start([listening])
    node = NodeOptions("n1", cluster_cidrs=("10.244.0.0/16",), node_port_addresses=node_port_addresses)
    options = AgentOptions(node, FAST, healthz=None)
    async with Client(Access(f"http://127.0.0.1:{port}")) as client:
        agent = Agent(options, client, dataplane)
        task = asyncio.create_task(agent.run())
        try:
            yield Scene(store, server, dataplane, agent, port)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await server.stop()
