"""How packets to Services reach IPVS: a routing rule for our marks, and a routing table in which everything is local.

IPVS looks at what this host takes for itself. kube-proxy has a dummy interface with the address of every Service on it;
then the host also answers pings and ARP there, its own daemons are reached there, and every program that lists
addresses finds thousands. A mark needs none of this, and is the same for ten thousand Services.

    100: from all iif lo fwmark 0x5e000000/0xff000000 lookup main
    101: from all fwmark 0x5e000000/0xff000000 lookup 24064       local default dev lo

The first rule is for whoever asks for a way from here while a packet still has its mark: the check of source addresses
(IPv4, `rp_filter`), which asks for the way back, and NAT, which routes again what IPVS has translated.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dataplane.interface import DataplaneError
from dataplane.ipvs.marks import DELIVER, DELIVER_MASK
from dataplane.netlink import attributes, messages
from dataplane.netlink.attributes import attribute, string
from dataplane.netlink.channel import NETLINK_ROUTE, Channel, NetlinkError

TABLE = 0x5E00
PRIORITY = 100

_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEWRULE, _DELRULE, _GETRULE = 32, 33, 34
_ROUTE = struct.Struct("=8BI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_RULE = struct.Struct("=8BI")  # fib_rule_hdr: family, dst_len, src_len, tos, table, res1, res2, action, flags
_RTA_OIF, _RTA_TABLE = 4, 15
_FRA_IIFNAME, _FRA_PRIORITY, _FRA_FWMARK, _FRA_TABLE, _FRA_FWMASK = 3, 6, 10, 15, 16
_TO_TABLE, _LOCAL, _STATIC, _SCOPE_HOST = 1, 2, 4, 254
_MAIN, _LOOPBACK = 254, 1
_EXCLUSIVE = 0x200
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_NAMES = {int(socket.AF_INET): "IPv4", int(socket.AF_INET6): "IPv6"}


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, value.to_bytes(4, sys.byteorder))


class RoutingRule(NamedTuple):
    family: int
    priority: int
    table: int
    interface: str = ""

    def __str__(self) -> str:
        iif = f" iif {self.interface}" if self.interface else ""
        name = f"{_NAMES[self.family]} routing rule {self.priority}"
        return f"{name}:{iif} fwmark {DELIVER:#x}/{DELIVER_MASK:#x} lookup {self.table}"

    def body(self) -> bytes:
        return (
            _RULE.pack(self.family, 0, 0, 0, 0, 0, 0, _TO_TABLE, 0)
            + _number(_FRA_PRIORITY, self.priority)
            + _number(_FRA_FWMARK, DELIVER)
            + _number(_FRA_FWMASK, DELIVER_MASK)
            + _number(_FRA_TABLE, self.table)
            + (string(_FRA_IIFNAME, self.interface) if self.interface else b"")
        )


def rules(families: tuple[int, ...]) -> frozenset[RoutingRule]:
    from_here = (RoutingRule(family, PRIORITY, _MAIN, "lo") for family in families)
    return frozenset((*from_here, *(RoutingRule(family, PRIORITY + 1, TABLE) for family in families)))


class Delivery:
    """The rules and routes of the network namespace in which it is made."""

    def __init__(self) -> None:
        self._channel = Channel(NETLINK_ROUTE)
        # A host that was started without IPv6 has nothing to deliver there.
        self._families = _FAMILIES if Path("/proc/net/if_inet6").exists() else _FAMILIES[:1]
        self._wanted = rules(self._families)

    def close(self) -> None:
        self._channel.close()

    def set_up(self) -> int:
        """Make what is missing; returns how much that was. DataplaneError if the kernel refuses."""
        made = 0
        for family in self._families:
            made += self._make(_NEWROUTE, _route(family), f"the local route in table {TABLE} ({_NAMES[family]})")
        for rule in sorted(self._wanted - self._rules()):
            made += self._make(_NEWRULE, rule.body(), str(rule))
        return made

    def _make(self, kind: int, body: bytes, words: str) -> int:
        try:
            self._channel.request(kind, body, messages.CREATE | _EXCLUSIVE)
        except NetlinkError as error:
            if error.errno == errno.EEXIST:
                return 0
            raise DataplaneError(f"ipvs: cannot add {words}: {error}") from error
        return 1

    def missing(self) -> tuple[str, ...]:
        """What is not there and should be, in words."""
        missing = [str(rule) for rule in sorted(self._wanted - self._rules())]
        for family in self._families:
            if not self._has_route(family):
                missing.append(f"local route in table {TABLE} ({_NAMES[family]})")
        return tuple(missing)

    def rules_are_there(self) -> bool:
        """Cheap: a host has few routing rules."""
        return self._rules() >= self._wanted

    def remove(self) -> None:
        for kind, body in (
            *((_DELRULE, rule.body()) for rule in self._wanted & self._rules()),
            *((_DELROUTE, _route(family)) for family in self._families),
        ):
            try:
                self._channel.request(kind, body)
            except NetlinkError as error:
                if error.errno not in (errno.ENOENT, errno.ESRCH):
                    raise DataplaneError(f"ipvs: cannot remove our routing: {error}") from error

    def _rules(self) -> set[RoutingRule]:
        return {rule for family in self._families for rule in self._rules_of(family)}

    def _rules_of(self, family: int) -> Iterator[RoutingRule]:
        for body in self._channel.dump(_GETRULE, _RULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
            parts = attributes.parse(body[_RULE.size :])
            if _native(parts, _FRA_FWMARK) == DELIVER and _native(parts, _FRA_FWMASK) == DELIVER_MASK:
                interface = attributes.text_of(parts.get(_FRA_IIFNAME, b""))
                yield RoutingRule(family, _native(parts, _FRA_PRIORITY), _native(parts, _FRA_TABLE), interface)

    def _has_route(self, family: int) -> bool:
        wanted = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        for body in self._channel.dump(_GETROUTE, wanted):
            parts = attributes.parse(body[_ROUTE.size :])
            if _native(parts, _RTA_TABLE) == TABLE and body[7] == _LOCAL and not body[1]:
                return True
        return False


def _route(family: int) -> bytes:
    scope = _SCOPE_HOST if family == socket.AF_INET else 0
    head = _ROUTE.pack(family, 0, 0, 0, 0, _STATIC, scope, _LOCAL, 0)
    return head + _number(_RTA_TABLE, TABLE) + _number(_RTA_OIF, _LOOPBACK)


def _native(parts: dict[int, memoryview], kind: int) -> int:
    return int.from_bytes(parts.get(kind, b""), sys.byteorder)
