"""A small API server for tests, of one resource, that does what it is told: forget, cut, lie, refuse.

Its state is a history of changes, as the real one's is; every fault is a method. It speaks real HTTP on loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

PATH = "/api/v1/services"

_CUT = bytes(1)  # what no API server says

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def serving(handler: Handler, tls: Any = None) -> AsyncIterator[str]:
    """Serve every request with `handler` on a free port of 127.0.0.1; gives the URL."""
    runner = web.ServerRunner(web.Server(handler, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def status(code: int, reason: str, message: str = "") -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message or reason}


def service(name: str, version: int, port: int = 80) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": port}]}}


class ScriptedApi:
    """Services named by strings, each with one port; `changes` of them make the history.

    `requests` records the query of every request. `broken` names Services that are sent undecodable.
    """

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[int, str, dict[str, Any]]] = []
        self.requests: list[dict[str, str]] = []
        self.answers: list[web.Response] = []  # given to the next requests, in place of a real answer
        self.broken: set[str] = set()
        self._snapshots: dict[int, list[dict[str, Any]]] = {}
        self._oldest = self.version
        self._watches: set[asyncio.Queue[bytes | None]] = set()

    @property
    def lists(self) -> list[dict[str, str]]:
        """The queries of the lists' first pages."""
        return [query for query in self.requests if "watch" not in query and "continue" not in query]

    @property
    def watches(self) -> list[dict[str, str]]:
        return [query for query in self.requests if "watch" in query]

    @property
    def watched(self) -> bool:
        """Whether a watch is open now."""
        return bool(self._watches)

    @property
    def ports(self) -> dict[str, int]:
        """What a client should know: of each readable Service, the port."""
        return {n: o["spec"]["ports"][0]["port"] for n, o in self.objects.items() if n not in self.broken}

    # What happens to the objects

    def put(self, name: str, port: int) -> None:
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.version += 1
        self.objects[name] = service(name, self.version, port)
        self._record(kind, self.objects[name])

    def delete(self, name: str, *, own_version: bool = True) -> None:
        """With `own_version` the event has the version of the deletion, else that of the object as it last was."""
        if name not in self.objects:
            return
        last = self.objects.pop(name)
        self.version += 1
        self._record("DELETED", service(name, self.version) if own_version else last)

    def _record(self, kind: str, item: dict[str, Any]) -> None:
        self.history.append((self.version, kind, item))
        self.send(self._event(kind, item))

    def _event(self, kind: str, item: dict[str, Any]) -> dict[str, Any]:
        return {"type": kind, "object": self._spoilt(item)}

    def _spoilt(self, item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "spec": {"ports": "none"}} if item["metadata"]["name"] in self.broken else item

    # What happens to the connections

    def send(self, event: dict[str, Any]) -> None:
        self.send_bytes(json.dumps(event).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        for watch in self._watches:
            watch.put_nowait(data)

    def bookmark(self, version: int | None = None) -> None:
        version = self.version if version is None else version
        self.send({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}})

    def repeat(self, events: int) -> None:
        """Send the last events once more, as no server should."""
        for _, kind, item in self.history[-events:]:
            self.send(self._event(kind, item))

    def end_watches(self) -> None:
        """Orderly, as when their time is over."""
        for watch in self._watches:
            watch.put_nowait(None)

    def cut_watches(self) -> None:
        """In the middle of a line, with the connection."""
        self.send_bytes(b'{"type":"ADDED","object":{"meta')
        self.send_bytes(_CUT)

    def expire_watches(self) -> None:
        self.send({"type": "ERROR", "object": status(410, "Expired", "too old resource version")})
        self.end_watches()

    def forget(self) -> None:
        """The history so far, and the snapshots that further pages are cut from."""
        self._oldest = self.version
        self._snapshots.clear()

    def answer_next(self, code: int, reason: str, **headers: str) -> None:
        self.answers.append(web.json_response(status(code, reason), status=code, headers=headers))

    # The server

    async def handle(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.requests.append(query)
        if request.path != PATH:
            return web.json_response(status(404, "NotFound", "the server could not find this"), status=404)
        if self.answers:
            return self.answers.pop(0)
        return await self._watch(request) if "watch" in query else self._list(query)

    def _list(self, query: dict[str, str]) -> web.Response:
        version, start = self.version, 0
        if "continue" in query:
            version, start = map(int, query["continue"].split(":"))
            if version not in self._snapshots:
                return web.json_response(status(410, "Expired", "continue token expired"), status=410)
        elif "limit" in query:
            self._snapshots[version] = list(self.objects.values())
        items = self._snapshots.get(version, list(self.objects.values()))
        end = start + int(query.get("limit", len(items)))
        metadata = {"resourceVersion": str(version)} | ({"continue": f"{version}:{end}"} if end < len(items) else {})
        return web.json_response({"metadata": metadata, "items": [self._spoilt(o) for o in items[start:end]]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        if since < self._oldest:
            return web.json_response(status(410, "Expired", "too old resource version"), status=410)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for version, kind, item in self.history:
            if version > since:
                queue.put_nowait(json.dumps(self._event(kind, item)).encode() + b"\n")
        self._watches.add(queue)
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
            while (data := await queue.get()) is not None:
                if data is _CUT and request.transport is not None:
                    request.transport.close()
                await response.write(data)
        finally:
            self._watches.discard(queue)
        return response
