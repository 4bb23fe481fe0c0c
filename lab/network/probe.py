"""A client: opens connections from one machine of the lab, and reports who answered and what they saw.

It speaks the line protocol of `lab.pod.server`: one line or datagram out, `<pod> <peer address> <peer port>` back.
Every try uses a fresh socket, so every try is a new flow to the dataplane.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http.client
import socket
import struct
from collections import Counter
from dataclasses import dataclass

from lab.network.namespace import Namespace

_QUESTION = b"who\n"
_ERRORS = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EPERM: "EPERM",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.EACCES: "unreachable",  # ICMPv6 "administratively prohibited"
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
}


@dataclass(frozen=True, slots=True)
class Probe:
    """What to ask."""

    address: str
    port: int
    protocol: str = "tcp"  #: or "udp"
    count: int = 24
    serial: bool = False  #: one after the other; otherwise all at once
    interval: float = 0.0  #: seconds between the starts of two tries; a serial one waits for its answer besides
    source_ports: tuple[int, ...] = ()  #: of the tries, in turn; any free ones if none are given
    source_address: str | None = None  #: as the routes say if not given
    timeout: float = 1.2  #: seconds for each try


@dataclass(frozen=True, slots=True)
class Answer:
    pod: str  #: who answered
    peer_address: str  #: whom it saw
    peer_port: int
    source_port: int  #: what we sent from
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    answers: tuple[Answer, ...]
    errors: tuple[str, ...]  #: refused, timeout, EPERM, unreachable, reset, or the name of a rarer errno

    @property
    def pods(self) -> Counter[str]:
        """How many answers came from each pod."""
        return Counter(answer.pod for answer in self.answers)

    @property
    def peers(self) -> frozenset[str]:
        """The addresses that the pods saw."""
        return frozenset(answer.peer_address for answer in self.answers)


def run_probe(machine: Namespace, probe: Probe) -> Outcome:
    """Ask from `machine`. Blocks until every try has its answer, or its error."""
    results = machine.call(lambda: asyncio.run(_tries(probe)))
    return Outcome(
        tuple(result for result in results if isinstance(result, Answer)),
        tuple(result for result in results if isinstance(result, str)),
    )


def error_kind(error: BaseException) -> str:
    """One word for what a socket met."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError) and error.errno is not None:
        return _ERRORS.get(error.errno) or errno.errorcode.get(error.errno, str(error.errno))
    return "reset" if isinstance(error, EOFError) else type(error).__name__


async def _tries(probe: Probe) -> list[Answer | str]:
    if probe.serial:
        results = []
        for number in range(probe.count):
            if number and probe.interval:
                await asyncio.sleep(probe.interval)
            results.append(await _one_try(probe, number))
        return results

    async def later(number: int) -> Answer | str:
        await asyncio.sleep(number * probe.interval)
        return await _one_try(probe, number)

    return list(await asyncio.gather(*(later(number) for number in range(probe.count))))


async def _one_try(probe: Probe, number: int) -> Answer | str:
    loop = asyncio.get_running_loop()
    start = loop.time()
    with _open_socket(probe, number) as connection:
        try:
            async with asyncio.timeout(probe.timeout):
                await loop.sock_connect(connection, (probe.address, probe.port))
                source_port = connection.getsockname()[1]
                await loop.sock_sendall(connection, _QUESTION)
                line = await _read_line(connection)
        except (OSError, EOFError) as error:
            return error_kind(error)
        pod, peer_address, peer_port = line.split()
        return Answer(pod, peer_address, int(peer_port), source_port, loop.time() - start)


def _open_socket(probe: Probe, number: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in probe.address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM if probe.protocol == "udp" else socket.SOCK_STREAM)
    opened.setblocking(False)
    source_port = probe.source_ports[number % len(probe.source_ports)] if probe.source_ports else 0
    if source_port or probe.source_address is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.protocol == "tcp" and source_port:
            # End with a reset: a port in TIME_WAIT could not be used for the next try.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        any_address = "::" if family == socket.AF_INET6 else "0.0.0.0"
        opened.bind((probe.source_address or any_address, source_port))
    return opened


async def _read_line(connection: socket.socket) -> str:
    loop = asyncio.get_running_loop()
    received = b""
    while not received.endswith(b"\n"):
        data = await loop.sock_recv(connection, 4096)
        if not data:
            raise EOFError
        received += data
    return received.decode()


class HeldConnection:
    """A TCP connection that stays open, to be asked again later. OSError if it can not be opened."""

    def __init__(self, machine: Namespace, address: str, port: int, timeout: float = 1.2) -> None:
        self._connection = machine.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self._connection.settimeout(timeout)
        try:
            self._connection.connect((address, port))
        except BaseException:
            self._connection.close()
            raise

    @property
    def source(self) -> tuple[str, int]:
        """The address and port it was opened from."""
        address, port = self._connection.getsockname()[:2]
        return address, port

    def ask(self, seconds: float | None = None) -> str:
        """The name of the pod that answers, or the kind of error. Waits `seconds`, or as long as for connecting."""
        if seconds is not None:
            self._connection.settimeout(seconds)
        try:
            self._connection.sendall(_QUESTION)
            received = self._connection.recv(4096)
        except OSError as error:
            return error_kind(error)
        return received.decode().split()[0] if received else "reset"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.close()


def fetch(machine: Namespace, address: str, port: int, path: str = "/", timeout: float = 1.2) -> tuple[int, bytes]:
    """HTTP GET from `machine`: status and body. OSError if nobody answers."""

    def get() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(address, port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()

    return machine.call(get)
