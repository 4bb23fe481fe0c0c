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

from dataplane.netlink import messages
from dataplane.netlink.addresses import local_addresses
from dataplane.netlink.attributes import attribute
from dataplane.netlink.channel import Channel
from dataplane.table import Endpoint, Family, ForwardingTable, FrontendKey, Protocol
from dataplane.traffic import Path, Taken, Traffic
from native.library import ffi, lib

_GET = 0x101  # IPCTNL_MSG_CT_GET in the ctnetlink subsystem
_CTA_STATUS, _CTA_STATUS_MASK = 3, 26
_DST_NAT = (1 << 5).to_bytes(4, "big")  # IPS_DST_NAT
_NFNLGRP_CONNTRACK_DESTROY = 3

_DATAGRAMS = 1 << 16  # that are read while nobody else gets a turn
_PAUSE = 0.02  # seconds: ends are read many at a time, and the socket holds what comes meanwhile
_LIST_ATTEMPTS = 5
_AT_ONCE = 4096  # ways taken from C in one go

_PROTOCOLS = {protocol.number: protocol for protocol in Protocol}
_NUMBERS = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}

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
        status = attribute(_CTA_STATUS, _DST_NAT) + attribute(_CTA_STATUS_MASK, _DST_NAT) if only_translated else b""
        body = messages.netfilter_body(socket.AF_UNSPEC, status)
        self._request = messages.message(_GET, messages.REQUEST | messages.DUMP, 1, body)
        self._ends = Channel()
        self._stop, self._stopped = os.pipe()
        self._thread: threading.Thread | None = None
        try:
            self._ends.join(_NFNLGRP_CONNTRACK_DESTROY)
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
        finder = _Finder(table)
        by_path: dict[Path, Traffic] = {}
        with self._lock:
            self._list(learning=False)
            unplaced = _traffic(lib.meter_take_elsewhere(self._meter))
            for way, traffic in self._ways():
                path = finder.path(way)
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


class _Finder:
    """Which frontend a destination belongs to."""

    def __init__(self, table: ForwardingTable) -> None:
        self._frontends = table.frontends
        self._node_addresses = table.node_addresses
        if any(family.any_address in table.node_addresses for family in Family):
            self._node_addresses |= local_addresses()

    def path(self, way: Any) -> Path | None:
        """None: it is somebody else's."""
        protocol = _PROTOCOLS.get(way.protocol)
        if protocol is None:
            return None
        family = Family(way.family)
        key = FrontendKey(_address(family, way.destination), protocol, socket.ntohs(way.destination_port))
        if key not in self._frontends:
            if key.address not in self._node_addresses:
                return None
            key = key._replace(address=family.any_address)
            if key not in self._frontends:
                return None
        return Path(key, Endpoint(_address(family, way.backend), socket.ntohs(way.backend_port)))


def _address(family: Family, packed: Any) -> str:
    return socket.inet_ntop(_NUMBERS[family], ffi.buffer(packed)[: 4 if family is Family.IPV4 else 16])


def _traffic(counted: Any) -> Traffic:
    inwards, outwards = 0, 1  # enum conntrack_direction
    return Traffic(
        counted.connections,
        counted.packets[inwards],
        counted.bytes[inwards],
        counted.packets[outwards],
        counted.bytes[outwards],
    )
