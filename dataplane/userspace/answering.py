"""What the engine of a running agent knows, for whoever asks at its socket: one JSON object a line.

The question is a line, ``flows`` or ``traffic``; the answer ends when the connection does. The socket is the file
``socket`` in the folder of `memory`, so only root may ask.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from dataplane.errors import InputError
from dataplane.userspace.engine import Engine

_log = logging.getLogger(__name__)

_PATIENCE = 5.0  #: seconds for somebody who asks, and reads
_LONGEST = 100  #: bytes of a question


class Answering:
    """A thread that answers about an engine, until `close`, which has to come before the engine's."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """OSError if the folder is none to make a socket in."""
        self._engine, self._path = engine, folder / "socket"
        self._ended = False
        with suppress(FileNotFoundError):
            self._path.unlink()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _short(folder) as name:
            self._listening.bind(name)
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve, name="answering", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Whoever is being answered is answered to the end."""
        self._ended = True
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()
        with suppress(FileNotFoundError):
            self._path.unlink()

    def _serve(self) -> None:
        while not self._ended:
            try:
                asking, _ = self._listening.accept()
            except OSError:
                return
            with asking, suppress(OSError):
                asking.settimeout(_PATIENCE)
                question = asking.makefile("rb").readline(_LONGEST).decode(errors="replace").strip()
                for line in self._answer(question):
                    asking.sendall(msgspec.json.encode(line) + b"\n")

    def _answer(self, question: str) -> Iterator[dict[str, Any]]:
        match question:
            case "flows":
                return self._flows()
            case "traffic":
                return self._traffic()
            case _:
                return iter([{"error": f"{question!r} is neither flows nor traffic"}])

    def _flows(self) -> Iterator[dict[str, Any]]:
        for service, flow in self._engine.named_flows():
            yield {
                "service": service,
                "protocol": flow.protocol.value,
                "client": str(flow.client),
                "destination": str(flow.service),
                "backend": str(flow.backend),
                "seenAs": str(flow.seen_as),
                "phase": flow.phase.value,
                "expiresIn": round(max(flow.expires - self._engine.now, 0), 3),
                "packetsIn": flow.packets[0],
                "packetsOut": flow.packets[1],
            }

    def _traffic(self) -> Iterator[dict[str, Any]]:
        for (service, backend), tally in sorted(self._engine.tallies().items()):
            yield {
                "service": service,
                "backend": str(backend),
                "connections": tally.connections,
                "active": tally.active,
                "packetsIn": tally.packets_to,
                "packetsOut": tally.packets_from,
                "bytesIn": tally.bytes_to,
                "bytesOut": tally.bytes_from,
            }


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A name for the socket that is not too long for one, wherever the folder is."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/socket"
    finally:
        os.close(descriptor)


def ask(folder: Path, question: str) -> Iterator[dict[str, Any]]:
    """What a running agent answers. InputError if none runs that could."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            with _short(folder) as name:
                asking.connect(name)
        except OSError as error:
            raise InputError(
                f"no agent answers at {folder / 'socket'} ({error.strerror}): is one running in this network "
                "namespace, with --proxy-mode=userspace?"
            ) from error
        asking.sendall(f"{question}\n".encode())
        for line in asking.makefile("rb"):
            yield msgspec.json.decode(line)
