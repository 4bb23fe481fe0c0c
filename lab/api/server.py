"""The API server: listens on sockets that it is given, and serves one store.

store = Store()
server = ApiServer(store, address="192.0.2.10", port=6443)
await server.start([listening_socket])
...
await server.stop()
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence

import msgspec
from aiohttp import web

from lab.api import discovery, errors
from lab.api.errors import ApiError, Object
from lab.api.http.answers import Answer
from lab.api.http.faults import Faults
from lab.api.http.handlers import Handlers, Request
from lab.api.http.query import flag
from lab.api.http.routing import target_of
from lab.api.http.views import View
from lab.api.http.watch_stream import WatchStream
from lab.api.openapi.documents import OpenApi
from lab.api.publishing import publish
from lab.api.store import Store

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.2",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
_BODY_LIMIT = 3 * 1024 * 1024  # bytes, as the real server
_HEALTH = ("/healthz", "/livez", "/readyz")
_NAMESPACE_DELAY = 1.0  # seconds between the deletion of a namespace and that of its content
_PUBLISH_SECONDS = 10.0
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}

_log = logging.getLogger(__name__)


class ApiServer:
    """HTTP on a store.

    `address` and `port` are where pods reach this server: the endpoint of the Service ``default/kubernetes``, which is
    made when it starts; without an address there is no such Service. `bookmarks` is the number of seconds between
    bookmarks of a watch. `logs` gives what a pod has written. `faults` breaks things for tests.
    """

    def __init__(
        self,
        store: Store,
        *,
        address: str = "",
        port: int = 6443,
        bookmarks: float = 60,
        logs: Callable[[Object], str] | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.faults = faults or Faults()
        self._store = store
        self._address = address
        self._port = port
        self._bookmarks = bookmarks
        self._handlers = Handlers(store, logs)
        self._openapi = OpenApi()
        self._runner: web.AppRunner | None = None
        self._publishing: asyncio.Future[None] | None = None

    async def start(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None = None) -> None:
        """Serve on these sockets (bound; listening or not), with TLS if a context is given."""
        loop = asyncio.get_running_loop()
        self._store.defer = lambda work: loop.call_later(_NAMESPACE_DELAY, work)
        if self._address:
            publish(self._store, self._address, self._port)
            self._publishing = asyncio.ensure_future(self._keep_published())
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=0.5,
            handler_cancellation=True,  # a watch whose client has gone ends at once
        )
        await self._runner.setup()
        for listening in sockets:
            await web.SockSite(self._runner, listening, ssl_context=tls).start()

    async def stop(self) -> None:
        """End all watches and close the sockets."""
        self.faults.drop_watches()
        if self._publishing:
            self._publishing.cancel()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _keep_published(self) -> None:
        """Whoever deletes ``default/kubernetes`` gets it back, as from the real server."""
        while True:
            await asyncio.sleep(_PUBLISH_SECONDS)
            publish(self._store, self._address, self._port)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            fixed = self._fixed(request)
            if fixed is not None:
                return _response(fixed)
            return await self._object(request)
        except ApiError as why:
            return _refusal(why)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except web.HTTPRequestEntityTooLarge:
            return _refusal(ApiError(413, "RequestEntityTooLarge", f"the limit of a body is {_BODY_LIMIT} bytes"))
        except RecursionError:
            return _refusal(errors.bad_request("the body is nested too deeply"))
        except Exception as why:
            _log.exception("%s %s", request.method, request.path_qs)
            return _refusal(errors.internal(f"{type(why).__name__}: {why}"))

    # --- what does not depend on objects ------------------------------------------------------------------------

    def _fixed(self, request: web.Request) -> Answer | None:
        """Version, health, discovery and OpenAPI; None for everything else."""
        path = request.path.rstrip("/") or "/"
        accept = request.headers.get("Accept", "")
        if path in _HEALTH:
            return Answer(b"ok", media_type="text/plain")
        if path.startswith("/openapi/"):
            return self._openapi.answer(path, accept)
        document = self._document(path, accept)
        if document is None:
            return None
        if document.get("kind") == "APIGroupDiscoveryList":
            version = document["apiVersion"].rpartition("/")[2]
            media_type = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            return Answer(msgspec.json.encode(document), media_type=media_type)
        return Answer(msgspec.json.encode(document))

    def _document(self, path: str, accept: str) -> Object | None:
        if path == "/version":
            return dict(VERSION)
        if path in ("/api", "/apis") and "as=APIGroupDiscoveryList" in accept:
            return discovery.aggregated(path == "/api", "v2" if "v=v2;" in accept + ";" else "v2beta1")
        if path == "/api":
            return discovery.core_versions(f"{self._address}:{self._port}")
        if path == "/apis":
            return discovery.group_list()
        if path == _CRDS:  # kubectl looks here for kinds that it does not know: there are none
            kind = {"kind": "CustomResourceDefinitionList", "apiVersion": "apiextensions.k8s.io/v1"}
            return kind | {"metadata": {"resourceVersion": str(self._store.version)}, "items": []}
        match path.split("/")[1:]:
            case ["api", version]:
                return discovery.resource_list("", version)
            case ["apis", group] if group in discovery.group_versions():
                return discovery.group(group)
            case ["apis", group, version]:
                return discovery.resource_list(group, version)
        return None

    # --- objects ------------------------------------------------------------------------------------------------

    async def _object(self, request: web.Request) -> web.StreamResponse:
        target = target_of(request.path)
        verb = _verb(request, bool(target.name))
        garbage = await self.faults.strike(target, verb)
        if garbage is not None:
            return _response(Answer(garbage))
        if verb == "watch":
            view = View.wanted(request.headers.get("Accept", ""), request.query.get("includeObject", ""))
            query = dict(request.query)
            if target.name:
                query["fieldSelector"] = f"metadata.name={target.name}"
            return await self._watch(request, WatchStream(self._store, target, query, view, self._bookmarks))
        wanted = Request(
            target,
            request.query,
            request.headers.get("Accept", ""),
            request.headers.get("Content-Type", "").partition(";")[0].strip(),
            await request.read(),
        )
        return await self.faults.send(request, _response(self._handlers.answer(verb, wanted)))

    async def _watch(self, request: web.Request, stream: WatchStream) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        writing = asyncio.ensure_future(self._write(response, stream))
        self.faults.running(writing, response)
        try:
            await writing
        except asyncio.CancelledError:
            writing.cancel()
            if request.transport:
                request.transport.abort()
            raise
        except ConnectionError:
            return response  # the client has gone
        await response.write_eof()
        return response

    async def _write(self, response: web.StreamResponse, stream: WatchStream) -> None:
        async for lines in stream.lines():
            if not self.faults.mute:
                await response.write(lines)


def _verb(request: web.Request, named: bool) -> str:
    """What a request wants to do, in RBAC's words."""
    match request.method:
        case "GET" | "HEAD" if flag(request.query, "watch"):
            return "watch"
        case "GET" | "HEAD":
            return "get" if named else "list"
        case "DELETE":
            return "delete" if named else "deletecollection"
        case "POST" | "PUT" | "PATCH" as method:
            if named == (method == "POST"):
                raise errors.method_not_allowed()
            return _VERBS[method]
    raise errors.method_not_allowed()


def _response(answer: Answer) -> web.Response:
    response = web.Response(body=answer.body, status=answer.code, headers={"Content-Type": answer.media_type})
    for warning in answer.warnings:
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')
    return response


def _refusal(why: ApiError) -> web.Response:
    return _response(Answer(msgspec.json.encode(why.status) + b"\n", why.code))
