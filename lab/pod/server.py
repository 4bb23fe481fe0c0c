"""The server that runs in every pod of the lab: it tells who it is and whom it saw.

Ask it in whichever way is at hand; all ports understand all of these:

    $ curl http://10.96.0.10/                     web-1 on n1 sees 10.244.1.10:52034 at 10.244.2.3:8080
    $ echo hello | nc 10.96.0.10 80               web-1 10.244.1.10 52034
    $ echo hello | nc -u 10.96.0.53 53            web-1 10.244.1.10 40112

A TCP connection speaks HTTP if its first line is an HTTP request; otherwise every line is answered with one line,
`<pod> <peer address> <peer port>`, so that an open connection can be asked again. A UDP datagram is answered with the
same line, from the address that it was sent to.

Asked to end (SIGTERM), it goes on for a moment, as a good server does: the news that it is going takes a while to
reach every node. Then it takes no new connections, and ends with its last open one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from aiohttp import web

DEFAULT_PORTS = (8080, 8081, 5353)  #: TCP and UDP; a pod serves these and the container ports that it declares
DRAIN_SECONDS = 2.0  #: how long new connections are still taken after SIGTERM

_HTTP_REQUEST = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")
_LONGEST_LINE = 8192
_FOREVER = 10.0**6  #: seconds; whoever started us has the last word, with SIGKILL
_IPV6_HEADER = struct.Struct("16sI")  #: struct in6_pktinfo: address, interface
_IPV4_HEADER = struct.Struct("I4s4s")  #: struct in_pktinfo: interface, local address, address in the packet
_IP_PKTINFO = 8  #: linux/in.h; Python 3.11's socket module does not name it


@dataclass(slots=True)
class PodServer:
    """One pod's server. `serve` runs it to its end."""

    pod: str
    node: str
    namespace: str = "default"
    drain_seconds: float = DRAIN_SECONDS
    ready: bool = True  #: what /readyz says; POST /ready?value=false switches it
    connections: set[asyncio.BaseTransport] = field(default_factory=set)

    async def serve(
        self, tcp_ports: Sequence[int], udp_ports: Sequence[int], listening: Callable[[], None] = lambda: None
    ) -> None:
        """Serve these ports on every address until SIGTERM. Calls `listening` once all of them are open.

        Raises OSError if one of them is taken.
        """
        loop = asyncio.get_running_loop()
        ending = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, ending.set)
        http = web.Server(self._http)
        servers = []
        for port in tcp_ports:
            for listener in _sockets(socket.SOCK_STREAM, port):
                servers.append(await loop.create_server(lambda: Doorway(self, http), sock=listener, backlog=1024))
        for port in udp_ports:
            for listener in _sockets(socket.SOCK_DGRAM, port):
                loop.add_reader(listener, self._answer_datagrams, listener)
        listening()
        await ending.wait()
        _log(f"drains for {self.drain_seconds:g} s")
        await asyncio.sleep(self.drain_seconds)
        for server in servers:
            server.close()
        # Connections kept open for a next HTTP request go now, those with a request under way when it is answered.
        await http.shutdown(timeout=_FOREVER)
        while self.connections:
            await asyncio.sleep(0.05)

    def line(self, peer: tuple[str, int]) -> bytes:
        return f"{self.pod} {peer[0]} {peer[1]}\n".encode()

    async def _http(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.path:
            case "/healthz":
                return web.Response(text="ok\n")
            case "/readyz":
                return web.Response(text="ok\n") if self.ready else web.Response(text="not ready\n", status=503)
            case "/ready" if request.method == "POST":
                return self._switch(request)
            case "/hold":
                return await self._hold(request)
            case "/" | "/json":
                return self._who(request)
        return web.Response(text=f"no {request.path} here: try / /json /healthz /readyz /hold?seconds=1\n", status=404)

    def _switch(self, request: web.BaseRequest) -> web.Response:
        value = request.query.get("value")
        if value not in ("true", "false"):
            return web.Response(text="POST /ready?value=true or /ready?value=false\n", status=400)
        self.ready = value == "true"
        _log(f"ready: {value}")
        return web.Response(text=f"ready: {value}\n")

    async def _hold(self, request: web.BaseRequest) -> web.Response:
        try:
            seconds = float(request.query.get("seconds", "10"))
        except ValueError:
            return web.Response(text="seconds: expected a number\n", status=400)
        await asyncio.sleep(min(max(seconds, 0.0), 3600.0))
        return self._who(request)

    def _who(self, request: web.BaseRequest) -> web.Response:
        assert request.transport is not None  # it has just brought us the request
        peer = request.transport.get_extra_info("peername")
        local = request.transport.get_extra_info("sockname")
        if request.path == "/json" or "application/json" in request.headers.get("Accept", ""):
            return web.json_response(
                {
                    "pod": self.pod,
                    "namespace": self.namespace,
                    "node": self.node,
                    "peer": {"address": peer[0], "port": peer[1]},
                    "local": {"address": local[0], "port": local[1]},
                }
            )
        return web.Response(text=f"{self.pod} on {self.node} sees {_joined(peer)} at {_joined(local)}\n")

    def _answer_datagrams(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # nothing more to read, or the asker's port is closed already
            while True:
                _, ancillary, _, peer = listener.recvmsg(_LONGEST_LINE, 256)
                listener.sendmsg([self.line(peer)], _answer_from(ancillary), 0, peer)


class Doorway(asyncio.Protocol):
    """Reads a connection's first line and answers it, or hands the connection over to HTTP."""

    def __init__(self, server: PodServer, http: web.Server) -> None:
        self._server = server
        self._http = http
        self._unread = b""
        self._transport: asyncio.Transport | None = None
        self._successor: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(transport)

    def connection_lost(self, exception: Exception | None) -> None:
        if self._transport is not None:
            self._server.connections.discard(self._transport)
        if self._successor is not None:
            self._successor.connection_lost(exception)

    def data_received(self, data: bytes) -> None:
        if self._successor is not None:
            self._successor.data_received(data)
            return
        assert self._transport is not None
        self._unread += data
        if _HTTP_REQUEST.match(self._unread):
            self._successor = self._http()
            self._successor.connection_made(self._transport)
            self._successor.data_received(self._unread)
            return
        *lines, self._unread = self._unread.split(b"\n")
        answer = self._server.line(self._transport.get_extra_info("peername"))
        self._transport.write(answer * len(lines))
        if len(self._unread) > _LONGEST_LINE:
            self._transport.close()

    def eof_received(self) -> bool | None:
        if self._successor is not None:
            return self._successor.eof_received()
        if self._unread:
            self.data_received(b"\n")
        return None

    def pause_writing(self) -> None:
        if self._successor is not None:
            self._successor.pause_writing()

    def resume_writing(self) -> None:
        if self._successor is not None:
            self._successor.resume_writing()


def _sockets(kind: socket.SocketKind, port: int) -> list[socket.socket]:
    """One socket for each IP version, so that IPv4 peers are seen as such, bound to every address."""
    sockets = []
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        listener = socket.socket(family, kind)
        listener.setblocking(False)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        listener.bind((address, port))
        sockets.append(listener)
    return sockets


def _answer_from(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The control message that makes an answer leave from the address that the question came to (ip(7), ipv6(7))."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, _, destination = _IPV4_HEADER.unpack(data[: _IPV4_HEADER.size])
            return [(level, kind, _IPV4_HEADER.pack(0, destination, bytes(4)))]
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            destination, interface = _IPV6_HEADER.unpack(data[: _IPV6_HEADER.size])
            scope = interface if ip_address(destination).is_link_local else 0
            return [(level, kind, _IPV6_HEADER.pack(destination, scope))]
    return []


def _joined(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"


def _log(text: str) -> None:
    print(text, flush=True)


def run(server: PodServer, tcp_ports: Sequence[int], udp_ports: Sequence[int], listening: Callable[[], None]) -> int:
    """Be this pod's process: serve to the end. Returns the exit code."""

    def opened() -> None:
        _log(f"{server.namespace}/{server.pod} on {server.node} serves TCP {list(tcp_ports)}, UDP {list(udp_ports)}")
        listening()

    try:
        asyncio.run(server.serve(tcp_ports, udp_ports, opened))
    except OSError as error:
        _log(f"cannot serve: {error.strerror or os.strerror(error.errno or 0)}")
        return 1
    _log("ended")
    return 0
