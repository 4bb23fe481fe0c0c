"""Whether the proxy keeps up, as `/healthz` and `/livez` say it (kube-proxy's fields and status codes).

Healthy: nothing is waiting to be programmed, or not for long. `/healthz` also answers 503 when this node is about
to go, so that load balancers stop sending; `/livez` does not, as a restart would not help.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from controller.objects import Node

_LEAVING = "ToBeDeletedByClusterAutoscaler"


@dataclass(slots=True)
class Health:
    """What the sync loop reports. `limit`: how many seconds a request may wait before it is a fault."""

    limit: float = 60.0
    clock: Callable[[], float] = time.time
    updated: float | None = None  #: when a sync last worked
    pending_since: float | None = None  #: since when something has been waiting
    node: Node | None = None

    def requested(self) -> None:
        if self.pending_since is None:
            self.pending_since = self.clock()

    def succeeded(self) -> None:
        self.updated, self.pending_since = self.clock(), None

    @property
    def healthy(self) -> bool:
        return self.pending_since is None or self.clock() - self.pending_since < self.limit

    @property
    def node_eligible(self) -> bool:
        node = self.node
        if node is None or node.metadata.deletion_timestamp is not None:
            return False
        return not any(taint.key == _LEAVING for taint in node.spec.taints or ())


def health_application(health: Health) -> web.Application:
    """`GET /healthz` and `/livez`."""
    application = web.Application()

    async def healthz(_: web.Request) -> web.Response:
        # Until the first sync nothing may be sent here; a restart would not help, so /livez does not ask for it.
        good = health.updated is not None and health.healthy and health.node_eligible
        return _answer(health, good, {"nodeEligible": health.node_eligible})

    async def livez(_: web.Request) -> web.Response:
        return _answer(health, health.healthy, {})

    application.router.add_get("/healthz", healthz)
    application.router.add_get("/livez", livez)
    return application


def _answer(health: Health, good: bool, more: dict[str, bool]) -> web.Response:
    now = health.clock()
    body = {
        # While all is well the two times are the same: that is what monitors of kube-proxy are used to.
        "lastUpdated": _timestamp(now if good else health.updated),
        "currentTime": _timestamp(now),
        "healthy": health.healthy,
        **more,
    }
    return web.Response(
        status=200 if good else 503,
        body=json.dumps(body).encode(),
        content_type="application/json",
        headers={"X-Content-Type-Options": "nosniff"},
    )


def _timestamp(seconds: float | None) -> str:
    moment = datetime.datetime.fromtimestamp(seconds or 0, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
