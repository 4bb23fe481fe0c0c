"""A packet queue read in Python, one packet at a time, with the NetfilterQueue package: what native/nfqueue.c does with
batches, written to be read, and to be compared with it. It asks the same engine.

Unlike there, the kernel cuts long packets up and finishes checksums before they come here.
"""

from __future__ import annotations

import importlib
import os
import select
import socket
import threading
from collections import Counter
from typing import Any

from dataplane.errors import InputError
from dataplane.interface import DataplaneError
from dataplane.reference import Outcome
from dataplane.table import DetectLocal
from dataplane.userspace.batch import Batch
from dataplane.userspace.engine import ROOM_FOR_ANSWER, Engine
from dataplane.userspace.port import HOST, OUTSIDE, PODS, PortCounters, QueueMisses, queue_name
from dataplane.userspace.result import OUTCOMES
from native.library import lib

_LONGEST = 65535
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_RECEIVE_BUFFER = 16 << 20
_DONE = ("forwarded", "passed", "answered", "dropped")  # in PortCounters


def package() -> Any:
    """The package's module. InputError if it is not installed."""
    try:
        return importlib.import_module("netfilterqueue")
    except ImportError as error:
        raise InputError(
            f"reading packets in Python needs the package NetfilterQueue (pip install 'svcplane[nfqueue]'): {error}"
        ) from error


class QueueReader:
    """Reads one queue in a thread of its own, from when it is made until `close`. The engine must have been started."""

    def __init__(self, engine: Engine, queue: int, length: int, pods: DetectLocal) -> None:
        """DataplaneError if the queue cannot be had."""
        self.failure = ""
        self.name = queue_name(queue)
        self._counted = Counter(dict.fromkeys((*_DONE, "bytes"), 0))
        self._engine, self._pods = engine, pods
        self._queue = package().NetfilterQueue()
        try:
            self._queue.bind(queue, self._take, max_len=length, range=_LONGEST)
        except OSError as error:
            raise DataplaneError(f"cannot read the kernel's packet queue {queue}: {error}") from error
        # Packets wait in this socket, and not in the queue; by default it has room for some hundred.
        with socket.socket(fileno=os.dup(self._queue.get_fd())) as packets:
            packets.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        self._misses = QueueMisses(queue)
        self._memory = bytearray(_LONGEST + ROOM_FOR_ANSWER)
        self._batch = Batch(self._memory, 1)
        self._wake = os.eventfd(0)
        self._thread = threading.Thread(target=self._read, name=f"queue {queue}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and let go of the queue."""
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._queue.unbind()
        os.close(self._wake)
        self._misses.close()

    @property
    def counters(self) -> PortCounters:
        """What became of packets. From any thread."""
        counted = self._counted.copy()
        received = sum(counted[outcome] for outcome in _DONE)
        return PortCounters(
            **dict.fromkeys(PortCounters.__dataclass_fields__, 0)
            | counted
            | {"received": received, "batches": received, "missed": self._misses.count()}
        )

    def _read(self) -> None:
        try:
            packets = self._queue.get_fd()
            while self._wake not in (ready := select.select([packets, self._wake], [], [])[0]):
                if packets in ready:
                    self._queue.run(block=False)
        except Exception as error:  # whatever it is, the dataplane begins again
            self.failure = f"{type(error).__name__}: {error}"

    def _take(self, packet: Any) -> None:
        """Ask the engine about one packet, and give the kernel its verdict."""
        data = packet.get_payload()
        self._memory[: len(data)] = data
        self._batch.clear()
        self._batch.add(0, len(data), self._interface(packet.indev), room=len(self._memory))
        self._engine.run_beside(self._batch)
        decision = self._batch.packets[0].decision
        outcome = OUTCOMES[decision.outcome]
        if outcome is Outcome.PASS:
            packet.accept()
            done = "passed"
        elif outcome is Outcome.FORWARD or (outcome is Outcome.REJECT and decision.marks & lib.DECISION_ANSWERED):
            packet.set_payload(self._batch.data(0))
            packet.accept()
            done = "forwarded" if outcome is Outcome.FORWARD else "answered"
        else:
            packet.drop()
            done = "dropped"
        # What has become of a packet comes last: whoever sees that it is done sees all of it.
        self._counted["bytes"] += len(data)
        self._counted[done] += 1

    def _interface(self, index: int) -> int:
        """What the engine is told about where a packet came in."""
        if index == 0:
            return int(HOST)
        wanted = self._pods.interface
        if not wanted:
            return int(OUTSIDE)
        try:
            name = socket.if_indextoname(index)
        except OSError:
            return int(OUTSIDE)
        return int(PODS if (name.startswith(wanted) if self._pods.prefix else name == wanted) else OUTSIDE)
