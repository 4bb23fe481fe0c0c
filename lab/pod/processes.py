"""The lab's side of the spawner: start processes in namespaces, signal them, hear when they listen and end.

Plain and synchronous; an asyncio program watches `fileno()` and calls `events()` when there is something to read.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import TracebackType

import msgspec

from lab.network.namespace import Namespace
from lab.pod.messages import MOST_BYTES, Event, Execute, Exited, Listening, ServePod, Signal, Start
from lab.pod.server import DEFAULT_PORTS, DRAIN_SECONDS

_DECODER = msgspec.json.Decoder(Event)
_ENCODER = msgspec.json.Encoder()


class Processes:
    """A spawner and what it started. A context manager: everything ends with it."""

    def __init__(self) -> None:
        self._spawner, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lab.pod.spawner", str(far.fileno())], pass_fds=(far.fileno(),)
            )

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill whatever still runs. Returns when the spawner is gone."""
        self._spawner.close()
        self._process.wait()

    def fileno(self) -> int:
        """Readable when `events` has something to say."""
        return self._spawner.fileno()

    def start_pod(
        self,
        name: str,
        machine: Namespace,
        *,
        log: str,
        pod: str | None = None,
        node: str = "",
        namespace: str = "default",
        tcp_ports: Sequence[int] = DEFAULT_PORTS,
        udp_ports: Sequence[int] = DEFAULT_PORTS,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        """Start the built-in server in `machine`. It calls itself `pod`, or `name` if that is not given."""
        server = ServePod(pod or name, node, namespace, tuple(tcp_ports), tuple(udp_ports), drain_seconds)
        self._send(Start(name, machine.path, log, server))

    def start_program(
        self,
        name: str,
        machine: Namespace,
        argv: Sequence[str],
        *,
        log: str,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Start a program in `machine`. One that does not exist ends at once, with the reason in its log."""
        self._send(Start(name, machine.path, log, Execute(tuple(argv), environment or {})))

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process. One that has ended, or never was, gets none."""
        self._send(Signal(name, number))

    def events(self) -> Iterator[Event]:
        """What happened since the last call; does not wait. ConnectionError if the spawner is gone."""
        while True:
            try:
                message = self._spawner.recv(MOST_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not message:
                raise ConnectionError("the spawner has ended")
            yield _DECODER.decode(message)

    def wait_listening(self, names: Sequence[str], timeout: float = 10.0) -> None:
        """Wait until the servers of all these pods listen. Not together with `events` elsewhere.

        Raises RuntimeError if one ends instead, or if it takes longer than `timeout` seconds.
        """
        missing = set(names)
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._spawner, selectors.EVENT_READ)
            while missing:
                if not selector.select(deadline - time.monotonic()):
                    raise RuntimeError(f"not listening after {timeout} s: {', '.join(sorted(missing))}")
                for event in self.events():
                    match event:
                        case Listening(name):
                            missing.discard(name)
                        case Exited(name, code) if name in missing:
                            raise RuntimeError(f"{name} ended with code {code}: see its log")

    def _send(self, order: Start | Signal) -> None:
        with contextlib.suppress(BrokenPipeError):  # `events` says that the spawner is gone
            self._spawner.send(_ENCODER.encode(order))
