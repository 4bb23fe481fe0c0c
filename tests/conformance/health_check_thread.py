"""The health check servers of a node without the rest of its agent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

from controller.compiler import ServiceKey
from controller.health_check import HealthCheck
from controller.health_check_servers import HealthCheckServers
from lab.network.namespace import Namespace


class HealthCheckThread:
    """The health check servers of n1, in a thread of their own that is in n1's namespace."""

    def __init__(self, n1: Namespace) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: HealthCheckServers | None = None
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(n1, started))
        self._thread.start()
        started.wait()

    def _run(self, n1: Namespace, started: threading.Event) -> None:
        n1.enter()
        self._servers = HealthCheckServers(lambda: True, self._failed)
        started.set()
        self._loop.run_forever()

    def _failed(self, service: ServiceKey, reason: str) -> None:
        raise AssertionError(f"{service}: {reason}")

    def update(self, checks: Mapping[ServiceKey, tuple[HealthCheck, ...]], addresses: frozenset[str]) -> None:
        assert self._servers is not None
        asyncio.run_coroutine_threadsafe(self._servers.update(checks, addresses), self._loop).result()

    def close(self) -> None:
        self.update({}, frozenset())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
