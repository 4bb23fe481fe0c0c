"""`/healthz` and `/livez`: how the proxy is, with kube-proxy's fields and status codes.

`/healthz` is for load balancers: it answers 503 also when this node is about to go. `/livez` is for the kubelet's
liveness probe: it does not, as a restart would not help.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter

from aiohttp import web

from controller.health import Health
from dataplane.table import Family


class HealthServer:
    """The application, and how often it has answered what: `answers` counts (path, status code)."""

    def __init__(self, health: Health) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.application = web.Application()
        self.application.router.add_get("/healthz", self._healthz)
        self.application.router.add_get("/livez", self._livez)
        self._health = health

    async def _healthz(self, _: web.Request) -> web.Response:
        # Until the first sync nothing may be sent here; a restart would not help, so /livez does not ask for it.
        health = self._health
        good = health.updated is not None and health.healthy and health.node_eligible
        return self._answer("healthz", good, {"nodeEligible": health.node_eligible})

    async def _livez(self, _: web.Request) -> web.Response:
        return self._answer("livez", self._health.healthy, {})

    def _answer(self, path: str, good: bool, more: dict[str, bool]) -> web.Response:
        health = self._health
        now = health.clock()
        code = 200 if good else 503
        self.answers[path, code] += 1
        family = {"lastUpdated": _timestamp(health.updated), "healthy": health.healthy}
        body = {
            # While all is well the two times are the same: that is what monitors of kube-proxy are used to.
            "lastUpdated": _timestamp(now if good else health.updated),
            "currentTime": _timestamp(now),
            **more,
            "healthy": health.healthy,
            "status": dict.fromkeys((f.word for f in Family), family),
        }
        return web.Response(
            status=code,
            body=json.dumps(body).encode(),
            content_type="application/json",
            headers={"X-Content-Type-Options": "nosniff"},
        )


def _timestamp(seconds: float | None) -> str:
    """RFC 3339, in UTC. What has not happened yet has the time that Go's zero value has."""
    if seconds is None:
        return "0001-01-01T00:00:00Z"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
