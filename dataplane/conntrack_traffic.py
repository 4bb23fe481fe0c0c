"""Traffic of the kernel's modes: from its connection table, which counts packets and bytes if told to.

`native/meter.c` adds up flows and tells how; here are the sockets, the thread that listens for the ends of flows, and
the frontends that flows belong to.
"""

from __future__ import annotations

import os
import secrets
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

from dataplane.lookup import Lookup
from dataplane.netlink import conntrack
from dataplane.netlink.channel import Channel
from dataplane.table import Endpoint, Family, ForwardingTable, Protocol
from dataplane.traffic import Path, Taken, Traffic
from native.library import ffi, lib

_DATAGRAMS = 1 << 16  # that are read while nobody else gets a turn
_PAUSE = 0.02  # seconds: ends are read many at a time, and the socket holds what comes meanwhile
_LIST_ATTEMPTS = 5
_AT_ONCE = 4096  # ways taken from C in one go

_PROTOCOLS = {protocol.number: protocol for protocol in Protocol}

DEFAULT_FLOWS = 1 << 18
DEFAULT_WAYS = 1 << 16


class ConntrackTraffic:
    """Counts in the network namespace of the thread that makes it, from then on.

    `flows` and `ways` (pairs of destination and backend) bound the memory: 64 bytes for a flow, 128 for a way, and
    only when they are used. `only_translated`: list only flows that the kernel's NAT has translated, which IPVS's
    are not. Raises OSError.
    """

    def __init__(self, flows: int = DEFAULT_FLOWS, ways: int = DEFAULT_WAYS, *, only_translated: bool = True) -> None:
        config = {"flows": flows, "ways": ways, "key": (secrets.randbits(64), secrets.randbits(64))}
        self._meter: Any = lib.meter_create(ffi.new("struct meter_config *", config))
        if not self._meter:
            raise MemoryError(f"no memory to count {flows} flows on {ways} ways")
        self._lock = threading.Lock()
        self._taken = ffi.new("struct meter_way[]", _AT_ONCE)
        self._request = conntrack.list_of_all(1, only_translated=only_translated)
        self._ends = Channel()
        self._stop, self._stopped = os.pipe()
        self._thread: threading.Thread | None = None
        try:
            self._ends.join(conntrack.GROUP_DESTROY)
            self._list(learning=True)
        except OSError:
            self.close()
            raise
        self._thread = threading.Thread(target=self._listen, name="ends of flows", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        return int(self._meter.lost)

    def close(self) -> None:
        os.close(self._stopped)
        if self._thread is not None:
            self._thread.join()
        os.close(self._stop)
        self._ends.close()
        lib.meter_destroy(self._meter)
        self._meter = ffi.NULL

    def take(self, table: ForwardingTable) -> Taken:
        lookup = Lookup(table)
        by_path: dict[Path, Traffic] = {}
        with self._lock:
            self._list(learning=False)
            unplaced = _traffic(lib.meter_take_elsewhere(self._meter))
            for way, traffic in self._ways():
                path = _path(lookup, way)
                if path is not None:
                    known = by_path.get(path)
                    by_path[path] = traffic.plus(known) if known else traffic
        return Taken(by_path, unplaced)

    def _ways(self) -> Iterator[tuple[Any, Traffic]]:
        while count := lib.meter_take(self._meter, self._taken, _AT_ONCE):
            for taken in self._taken[0:count]:
                yield taken.way, _traffic(taken.traffic)

    def _list(self, *, learning: bool) -> None:
        for _ in range(_LIST_ATTEMPTS):
            lib.meter_begin_list(self._meter, learning)
            # A list that went wrong leaves answers behind, which must not be taken for those of the next one.
            with Channel() as channel:
                error = lib.meter_list(self._meter, channel.fileno(), self._request, len(self._request))
            self._hear()
            if error == 0:
                lib.meter_end_list(self._meter)
                return
        raise OSError(-error, os.strerror(-error))

    def _listen(self) -> None:
        while True:
            ready, _, _ = select.select([self._ends.fileno(), self._stop], [], [])
            if self._stop in ready:
                return
            with self._lock:
                self._hear()
            select.select([self._stop], [], [], _PAUSE)

    def _hear(self) -> None:
        while lib.meter_listen(self._meter, self._ends.fileno(), _DATAGRAMS) == _DATAGRAMS:
            pass


def _path(lookup: Lookup, way: Any) -> Path | None:
    """None: it is somebody else's."""
    protocol = _PROTOCOLS.get(way.protocol)
    if protocol is None:
        return None
    family = Family(way.family)
    frontend = lookup.frontend(_end(family, way.destination, way.destination_port), protocol)
    return Path(frontend.key, _end(family, way.backend, way.backend_port)) if frontend else None


def _end(family: Family, address: Any, port: int) -> Endpoint:
    packed = ffi.buffer(address)[: 4 if family is Family.IPV4 else 16]
    return Endpoint(socket.inet_ntop(conntrack.FAMILIES[family], packed), socket.ntohs(port))


def _traffic(counted: Any) -> Traffic:
    inwards, outwards = 0, 1  # enum conntrack_direction
    return Traffic(
        counted.connections,
        counted.packets[inwards],
        counted.bytes[inwards],
        counted.packets[outwards],
        counted.bytes[outwards],
    )
