"""The server for operators: `/metrics`, `/proxyMode`, `/configz`, and a `/healthz` that is always ok."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}


def metrics_application(
    registry: CollectorRegistry, mode: str, configuration: Callable[[], Mapping[str, Any]]
) -> web.Application:
    """`configuration` is what `/configz` shows, under the name of kube-proxy's group."""

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok", headers=_NO_SNIFFING)

    async def proxy_mode(_: web.Request) -> web.Response:
        return web.Response(text=mode, headers=_NO_SNIFFING)

    async def configz(_: web.Request) -> web.Response:
        body = msgspec.json.encode({"kubeproxy.config.k8s.io": configuration()})
        return web.Response(body=body, content_type="application/json", headers=_NO_SNIFFING)

    application = web.Application()
    for path, handler in (
        ("/metrics", metrics),
        ("/healthz", healthz),
        ("/proxyMode", proxy_mode),
        ("/configz", configz),
    ):
        application.router.add_get(path, handler)
    return application
