"""Answers load balancers at each Service's healthCheckNodePort, in kube-proxy's words.

200 with the number of endpoints on this node while there are any and the proxy keeps up, else 503.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from controller.compiler import ServiceKey
from controller.health_check import HealthCheck
from dataplane.table import Endpoint, Family


@dataclass(slots=True)
class _Server:
    addresses: frozenset[str]
    check: HealthCheck
    runner: web.ServerRunner


class HealthCheckServers:
    """One HTTP server for each Service and family that asks for one.

    `healthy` says whether the proxy keeps up. `failed` is called with the Service and a sentence when a server
    cannot listen; it is tried again at every `update`, and the failure told again only when it is another one.
    """

    def __init__(self, healthy: Callable[[], bool], failed: Callable[[ServiceKey, str], None]) -> None:
        self._healthy = healthy
        self._failed = failed
        self._servers: dict[tuple[ServiceKey, Family], _Server] = {}
        self._failures: dict[tuple[ServiceKey, Family], str] = {}
        self._updating = asyncio.Lock()

    @property
    def incomplete(self) -> bool:
        """Whether some server could not listen the last time."""
        return bool(self._failures)

    async def update(
        self, checks: Mapping[ServiceKey, tuple[HealthCheck, ...]], node_port_addresses: frozenset[str]
    ) -> None:
        """Answer for these Services from now on, and for no others, wherever NodePorts answer.

        `node_port_addresses` are as in `ForwardingTable.node_addresses`.
        """
        wanted = {(key, check.family): check for key, of_service in checks.items() for check in of_service}
        async with self._updating:
            for slot, server in list(self._servers.items()):
                check = wanted.get(slot)
                addresses = _addresses(slot[1], node_port_addresses)
                if check is None or check.port != server.check.port or addresses != server.addresses:
                    await self._servers.pop(slot).runner.cleanup()
                else:
                    server.check = check
            self._failures = {slot: text for slot, text in self._failures.items() if slot in wanted}
            for slot, check in wanted.items():
                if slot not in self._servers:
                    await self._start(slot, check, _addresses(check.family, node_port_addresses))

    async def close(self) -> None:
        await self.update({}, frozenset())

    async def _start(self, slot: tuple[ServiceKey, Family], check: HealthCheck, addresses: frozenset[str]) -> None:
        # Whatever is asked, and however: load balancers differ in the path and method that they use.
        runner = web.ServerRunner(web.Server(partial(self._answer, slot), access_log=None), shutdown_timeout=1.0)
        await runner.setup()
        address = ""
        try:
            for address in sorted(addresses):
                await web.TCPSite(runner, address, check.port).start()
        except OSError as error:
            await runner.cleanup()
            cause = os.strerror(error.errno) if error.errno else str(error)
            reason = f"health check: can't listen on {Endpoint(address, check.port)}: {cause}"
            if self._failures.get(slot) != reason:
                self._failures[slot] = reason
                self._failed(slot[0], reason)
            return
        self._failures.pop(slot, None)
        self._servers[slot] = _Server(addresses, check, runner)

    async def _answer(self, slot: tuple[ServiceKey, Family], request: web.BaseRequest) -> web.Response:
        (namespace, name), _ = slot
        server = self._servers.get(slot)
        count = server.check.local_endpoints if server else 0
        healthy = self._healthy()
        body = {
            "service": {"namespace": namespace, "name": name},
            "localEndpoints": count,
            "serviceProxyHealthy": healthy,
        }
        return web.Response(
            status=200 if count and healthy else 503,
            body=json.dumps(body).encode(),
            content_type="application/json",
            headers={"X-Content-Type-Options": "nosniff", "X-Load-Balancing-Endpoint-Weight": str(count)},
        )


def _addresses(family: Family, node_port_addresses: frozenset[str]) -> frozenset[str]:
    """Where to listen: on every address of the family if NodePorts answer on all, else only where they do."""
    if family.any_address in node_port_addresses:
        return frozenset({family.any_address})
    return frozenset(a for a in node_port_addresses if Family.of(a) is family)
