"""The server for operators: `/metrics` and the pages about the process that kube-proxy has, under the same paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from controller.health import Health
from controller.status_pages import flags_page, service_levels, status_page

_NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}


def metrics_application(
    registry: CollectorRegistry,
    mode: str,
    configuration: Callable[[], Mapping[str, Any]],
    *,
    flags: Mapping[str, str] | None = None,
    health: Health | None = None,
    refresh: Callable[[], Awaitable[None]] | None = None,
) -> web.Application:
    """`configuration` is what `/configz` shows, under the name of kube-proxy's group; `flags` what `/flagz` shows.

    `refresh` is awaited before metrics are collected. `/healthz` here is always ok: there is no state behind it.
    """
    levels = service_levels(health or Health())

    async def metrics(request: web.Request) -> web.Response:
        if refresh is not None:
            await refresh()
        return _exposed(registry, request)

    async def slis(request: web.Request) -> web.Response:
        return _exposed(levels, request)

    async def configz(_: web.Request) -> web.Response:
        body = msgspec.json.encode({"kubeproxy.config.k8s.io": configuration()})
        return web.Response(body=body, content_type="application/json", headers=_NO_SNIFFING)

    def text(make: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(_: web.Request) -> web.Response:
            return web.Response(text=make(), headers=_NO_SNIFFING)

        return handle

    handlers: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
        "/metrics": metrics,
        "/metrics/slis": slis,
        "/healthz": text(lambda: "ok"),
        "/proxyMode": text(lambda: mode),
        "/configz": configz,
        "/flagz": text(lambda: flags_page(flags or {})),
        "/statusz": text(lambda: status_page(handlers)),
    }
    application = web.Application()
    for path, handler in handlers.items():
        application.router.add_get(path, handler)
    return application


def _exposed(registry: CollectorRegistry, request: web.Request) -> web.Response:
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(registry), headers={"Content-Type": content_type})
