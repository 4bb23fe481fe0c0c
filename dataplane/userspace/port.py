"""Ports: where the packets of a running engine come from, and go to (native/port.h)."""

from __future__ import annotations

import errno
import os
import socket
import threading
from dataclasses import dataclass, replace
from typing import Any

from dataplane.interface import DataplaneError
from dataplane.table import DetectLocal
from dataplane.userspace.batch import Link
from native.library import ffi, lib

HOST, OUTSIDE, PODS = lib.PORT_HOST, lib.PORT_OUTSIDE, lib.PORT_PODS
"""As what ports tell an engine apart where packets come in."""


@dataclass(frozen=True, slots=True)
class PortCounters:
    """What became of a port's packets: `received` is the sum of the five that follow it."""

    received: int
    forwarded: int
    passed: int
    answered: int
    dropped: int
    lost: int  #: could not be read or sent
    missed: int  #: were never received, because a queue was full
    bytes: int
    batches: int
    errors: int  #: system calls that failed


class Port:
    """One port. Whoever made it closes it, or the engine that was given it."""

    def __init__(self, native: Any, name: str) -> None:
        self.native, self.name = native, name

    def __str__(self) -> str:
        return self.name

    @property
    def counters(self) -> PortCounters:
        """As they are at this moment; a running port goes on counting."""
        counted = self.native.counters
        return PortCounters(*(getattr(counted, name) for name in PortCounters.__dataclass_fields__))

    def ways(self) -> dict[str, int]:
        """How many packets took which way, for a port that has several."""
        return {}

    def close(self) -> None:
        lib.port_destroy(self.native)
        self.native = ffi.NULL


class QueuePort(Port):
    """On one of the kernel's packet queues, of the calling thread's network namespace."""

    def __init__(self, native: Any, queue: int) -> None:
        super().__init__(native, queue_name(queue))
        self._misses = QueueMisses(queue)

    @property
    def counters(self) -> PortCounters:
        return replace(super().counters, missed=self._misses.count())

    def close(self) -> None:
        super().close()
        self._misses.close()


class QueueMisses:
    """How many packets never reached the reader of a queue: only the kernel knows."""

    def __init__(self, queue: int) -> None:
        self._queue = queue
        # Opened now, and by this thread: it is then of this namespace, whoever reads it.
        self._lock = threading.Lock()
        self._file = os.open("/proc/thread-self/net/netfilter/nfnetlink_queue", os.O_RDONLY | os.O_CLOEXEC)

    def count(self) -> int:
        """Since the queue was bound; nothing once it is not. From any thread."""
        with self._lock:
            lines = os.pread(self._file, 1 << 16, 0).splitlines() if self._file >= 0 else []
        # Number, reader, length, what is copied, how much; dropped by the queue, and by its socket (nfnetlink_queue.c).
        for line in lines:
            number, _, _, _, _, full, unheard, *_ = map(int, line.split())
            if number == self._queue:
                return full + unheard
        return 0

    def close(self) -> None:
        with self._lock:
            os.close(self._file)
            self._file = -1


def queue_name(queue: int) -> str:
    """What a queue is called where ports are told apart."""
    return f"queue {queue}"


def descriptor_port(descriptor: int, link: Link, interface: int = OUTSIDE) -> Port:
    """On something that is read and written packet by packet: a tap device, a packet socket. It is the port's now."""
    os.set_blocking(descriptor, False)
    native = lib.descriptor_create(descriptor, link, interface)
    if not native:
        raise DataplaneError("cannot make a port: not enough memory")
    return Port(native, f"descriptor {descriptor}")


def memory_port(link: Link = Link.IP, interface: int = OUTSIDE) -> tuple[Port, socket.socket]:
    """A port that needs no rights, and the socket at its other end: one packet for each `send` and `recv`."""
    far, near = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return descriptor_port(near.detach(), link, interface), far


def nfqueue_port(queue: int, length: int, pods: DetectLocal) -> Port:
    """On one of the kernel's packet queues, which holds so many packets. DataplaneError if it cannot be had."""
    config = ffi.new("struct nfqueue_config *")
    config.queue, config.length = queue, length
    config.pods, config.prefix = pods.interface.encode()[: lib.NFQUEUE_NAME - 1], pods.prefix
    error = ffi.new("int *")
    native = lib.nfqueue_create(config, error)
    if not native:
        # The kernel says the same to whoever may not read queues at all.
        reasons = {errno.EPERM: "another process reads it, or this one has not the capability CAP_NET_ADMIN"}
        reason = reasons.get(-error[0], os.strerror(-error[0]))
        raise DataplaneError(f"cannot read the kernel's packet queue {queue}: {reason}")
    return QueuePort(native, queue)
