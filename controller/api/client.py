"""Requests to the API server: lists in pages, watches, and the few single objects that the agent reads or writes.

Everything that can go wrong comes out as an `ApiServerError` with one clear line. Nothing is retried here, but for
one thing: a request that is answered 401 is sent again if there are fresher credentials.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

import aiohttp
import msgspec

from controller.api.access import Access
from controller.api.errors import GarbageError, RefusedError, UnreachableError, UntrustedError
from controller.api.resources import Resource
from controller.api.wire import Decoder, Event, Page, lines, status_error
from controller.objects import Object
from dataplane.version import VERSION

T = TypeVar("T", bound=Object)
S = TypeVar("S")

#: Objects per page of a list, as kubectl and client-go ask for.
PAGE_SIZE = 500

#: A connection on which nothing comes for so long is taken for dead, in seconds. Longer than an API server needs to
#: say something: it sends a watch a bookmark about every minute, and itself gives up an answer after one
#: (--request-timeout). A list that comes slowly is not cut off, however long it takes, or it would never be had.
SILENCE_SECONDS = 120.0

_CONNECT_SECONDS = 10.0

#: How the kernel finds out that the other end is gone: after 15 s of silence it asks, three times, every 5 s.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


class Client:
    """Talks to one API server. Use it as ``async with Client(access) as client``.

    `silence` is the longest that an answer may be waited for, or say nothing, in seconds.
    """

    def __init__(self, access: Access, *, silence: float = SILENCE_SECONDS) -> None:
        self.access = access
        self.requests: Counter[tuple[str, str]] = Counter()  #: by (code, method); code <error>: no answer came
        self._silence = silence
        self._opened: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._opened = aiohttp.ClientSession(
            headers={"User-Agent": f"svcplane/{VERSION}", "Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
            # A watch holds its connection for minutes, and there are several.
            connector=aiohttp.TCPConnector(limit=0),
            read_bufsize=1 << 18,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def list_pages(self, resource: Resource[T], page_size: int = PAGE_SIZE) -> AsyncIterator[Page[T]]:
        """All objects of a resource, page by page, all as of one version. A `page_size` of 0 asks for one page.

        Raises ApiServerError; ExpiredError also between pages, when the version is out of the server's history.
        """
        decoder = Decoder(resource.kind)
        query = resource.selectors | ({"limit": str(page_size)} if page_size else {})
        while True:
            body = await self._answer("GET", resource.path, query)
            with self._says("GET", resource.path):
                page = decoder.page(body)
            yield page
            if not page.rest:
                return
            query["continue"] = page.rest

    @contextlib.asynccontextmanager
    async def watch(
        self, resource: Resource[T], version: int, seconds: float
    ) -> AsyncIterator[AsyncIterator[Event[T]]]:
        """What happens to a resource after `version`, for about `seconds`; then the server ends the watch.

        Entered when the server has accepted. Both entering and iterating raise ApiServerError.
        """
        query = resource.selectors | {
            "watch": "true",
            "resourceVersion": str(version),
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(seconds)),
        }
        response = await self._request("GET", resource.path, query)
        try:
            async with contextlib.aclosing(self._events(response, resource)) as events:
                yield events
        finally:
            response.close()

    async def get(self, path: str, kind: type[S]) -> S:
        """The object at a path, decoded to `kind`. Raises ApiServerError."""
        return self._decode("GET", path, await self._answer("GET", path), kind)

    async def create(self, path: str, body: object, kind: type[S]) -> S:
        """Make an object in the collection at a path, and return what the server made of it."""
        return self._decode("POST", path, await self._answer("POST", path, body=body), kind)

    async def patch(self, path: str, changes: Mapping[str, Any], kind: type[S]) -> S:
        """Merge `changes` into the object at a path (a JSON merge patch), and return what it is now."""
        body = await self._answer("PATCH", path, body=changes, content_type="application/merge-patch+json")
        return self._decode("PATCH", path, body, kind)

    async def _events(self, response: aiohttp.ClientResponse, resource: Resource[T]) -> AsyncGenerator[Event[T]]:
        decoder = Decoder(resource.kind)
        with self._says("watching", resource.path):
            async for line in lines(self._chunks(response, "watching", resource.path)):
                yield decoder.event(line)

    async def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> bytes:
        """A whole answer."""
        response = await self._request(method, path, query, body, content_type)
        try:
            return b"".join([chunk async for chunk in self._chunks(response, method, path)])
        finally:
            response.release()

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> aiohttp.ClientResponse:
        """An answer with status 2xx, of which only the head was read. The caller closes or releases it."""
        if self._opened is None:
            raise RuntimeError("the client is not open (use it with `async with`)")
        ticket = await self.access.ticket()
        for _ in range(2):
            with self._trouble(method, path), self._counting(method) as answered:
                response = await self._opened.request(
                    method,
                    ticket.server + path,
                    params=query,
                    data=None if body is None else msgspec.json.encode(body),
                    headers=dict(ticket.headers) | ({} if body is None else {"Content-Type": content_type}),
                    ssl=ticket.tls or True,
                    server_hostname=ticket.server_name,
                    proxy=ticket.proxy,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=self._silence),
                    # The API server sends nobody elsewhere; a log-in page in its place does.
                    allow_redirects=False,
                )
                answered(response.status)
            if 200 <= response.status < 300:
                _keep_alive(response)
                return response
            error = await self._refusal(response, method, path)
            if response.status != 401 or not await self.access.refused(ticket):
                break
            ticket = await self.access.ticket()
        raise error

    @contextlib.contextmanager
    def _counting(self, method: str) -> Iterator[Callable[[int], None]]:
        codes: list[int] = []
        try:
            yield codes.append
        finally:
            self.requests[str(codes[0]) if codes else "<error>", method] += 1

    async def _refusal(self, response: aiohttp.ClientResponse, method: str, path: str) -> RefusedError:
        try:
            with self._trouble(method, path):
                body = await response.content.read(1 << 16)
        finally:
            response.close()
        error = status_error(f"{self._subject(method, path)}: answered", response.status, body)
        with contextlib.suppress(ValueError):
            error.retry_after = max(error.retry_after, float(response.headers.get("Retry-After", 0)))
        return error

    async def _chunks(self, response: aiohttp.ClientResponse, method: str, path: str) -> AsyncIterator[bytes]:
        while True:
            with self._trouble(method, path):
                chunk = await response.content.readany()
            if not chunk:
                return
            yield chunk

    def _decode(self, method: str, path: str, body: bytes, kind: type[S]) -> S:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise GarbageError(f"{self._subject(method, path)}: sent no {kind.__name__}: {error}") from error

    def _subject(self, method: str, path: str) -> str:
        return f"{method} {self.access.server}{path}"

    @contextlib.contextmanager
    def _says(self, method: str, path: str) -> Iterator[None]:
        """Errors of decoding don't know yet who sent what could not be decoded."""
        try:
            yield
        except GarbageError as error:
            raise GarbageError(f"{self._subject(method, path)}: {error}") from error
        except RefusedError as error:
            kind = type(error)
            message = f"{self._subject(method, path)}: {error}"
            raise kind(message, error.status, error.reason, error.retry_after) from error

    @contextlib.contextmanager
    def _trouble(self, method: str, path: str) -> Iterator[None]:
        """The library's and the system's errors, in our terms."""
        subject = self._subject(method, path)
        try:
            yield
        except aiohttp.ClientConnectorCertificateError as error:
            reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
            raise UntrustedError(f"{subject}: the server's certificate is not trusted: {reason}") from error
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise UntrustedError(f"{subject}: TLS failed: {_words(error)}") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise UnreachableError(f"{subject}: no connection in {_CONNECT_SECONDS:.0f} s") from error
        except TimeoutError as error:
            raise UnreachableError(f"{subject}: the server said nothing for too long") from error
        except aiohttp.ServerDisconnectedError as error:
            # Also how a server that wants a client certificate may say so.
            raise UnreachableError(f"{subject}: the server closed the connection without an answer") from error
        except aiohttp.ClientHttpProxyError as error:
            proxy = self.access.proxy
            raise UnreachableError(f"{subject}: the proxy {proxy} answered {error.status} {error.message}") from error
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL) as error:
            raise GarbageError(f"{subject}: the answer is not HTTP: {_words(error)}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"{subject}: {_words(error)}") from error


def _words(error: Exception) -> str:
    """An error in one line."""
    cause = getattr(error, "os_error", error)
    text = getattr(cause, "strerror", None) or str(cause) or type(error).__name__
    return " ".join(str(text).split())[:300]


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    """Have the kernel notice when the other end of this connection is gone."""
    transport = response.connection.transport if response.connection is not None else None
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
