"""What this host knows of the ways to others: links, routes, neighbours and rules, as the kernel lists them."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from dataplane.netlink import attributes, messages
from dataplane.netlink.channel import Channel, NetlinkError

GROUPS = (1, 3, 7, 8, 11, 19)
"""Multicast groups (linux/rtnetlink.h) that tell of changes: links, neighbours, and routes and rules by family."""

_GETLINK, _GETROUTE, _NEWNEIGH, _GETNEIGH, _GETRULE = 18, 26, 28, 30, 34

_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, hardware type, index, flags, change
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_NUM_RX_QUEUES = 1, 3, 4, 18, 32
_IFLA_INFO_KIND = 1
_IFF_UP = 1
_ETHERNET = 1  # ARPHRD_ETHER

_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths, tos, table, protocol, scope, type, flags
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_METRICS, _RTA_TABLE = 1, 4, 5, 6, 8, 15
_RTA_MULTIPATH, _RTA_VIA, _RTA_ENCAP, _RTA_NH_ID = 9, 18, 22, 30
_RTAX_MTU = 2
_RTN_UNICAST = 1
_UNUSABLE = 0x01 | 0x10  # RTNH_F_DEAD, RTNH_F_LINKDOWN
_CLONED = 0x200  # RTM_F_CLONED: an entry of a cache, not a route
MAIN, LOCAL = 254, 255
_DEFAULT = 253

_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # ndmsg: family, interface, state, flags, type
_NDA_DST, _NDA_LLADDR = 1, 2
_KNOWN = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80  # NUD_REACHABLE, STALE, DELAY, PROBE, NOARP, PERMANENT
_STALE = 0x04
_NTF_USE = 0x01

_RULE_TABLE_AT, _RULE_ACTION_AT, _RULE_SIZE = 4, 7, 12  # fib_rule_hdr
_FRA_PRIORITY, _FRA_TABLE = 6, 15
_ORDINARY_RULES = {(0, LOCAL), (32766, MAIN), (32767, _DEFAULT)}


@dataclass(frozen=True, slots=True)
class LinkState:
    """An Ethernet interface. `kind` is what made it (``veth``, ``bridge``), or "" for hardware."""

    index: int
    name: str
    kind: str
    mac: bytes
    mtu: int
    queues: int  #: that it receives by
    up: bool


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main or local table. `interface` is None if only the kernel can follow it: a local address, one
    that is not to be reached, several next hops, a tunnel."""

    network: str
    interface: int | None
    gateway: str | None
    metric: int
    mtu: int | None
    local: bool = False


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Somebody on a link whose hardware address is known."""

    interface: int
    address: str
    mac: bytes
    stale: bool


@dataclass(frozen=True, slots=True)
class Routing:
    """All of it. `simple` is False if rules send packets to other tables than the usual ones."""

    links: tuple[LinkState, ...]
    routes: tuple[Route, ...]
    neighbours: tuple[Neighbour, ...]
    simple: bool


def links(channel: Channel) -> tuple[LinkState, ...]:
    """The Ethernet interfaces of this namespace."""
    return tuple(_links(channel))


def routing(channel: Channel) -> Routing:
    """What the kernel knows now. OSError (NetlinkError) if it does not say."""
    return Routing(links(channel), tuple(_routes(channel)), tuple(_neighbours(channel)), _is_simple(channel))


def use(channel: Channel, neighbour: Neighbour) -> None:
    """Tell the kernel that a neighbour is made use of: so it asks again whether that is still there, as it would if it
    sent packets there itself. Gone meanwhile is fine."""
    family = socket.AF_INET6 if ":" in neighbour.address else socket.AF_INET
    header = _NEIGHBOUR.pack(family, neighbour.interface, 0, _NTF_USE, 0)
    destination = attributes.attribute(_NDA_DST, socket.inet_pton(family, neighbour.address))
    with contextlib.suppress(NetlinkError):
        channel.request(_NEWNEIGH, header + destination, messages.REPLACE)


def _links(channel: Channel) -> Iterator[LinkState]:
    for body in channel.dump(_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        _, hardware, index, flags, _ = _LINK.unpack_from(body)
        parts = attributes.parse(body[_LINK.size :])
        mac = bytes(parts.get(_IFLA_ADDRESS, b""))
        if hardware != _ETHERNET or len(mac) != 6:
            continue
        information = attributes.parse(parts.get(_IFLA_LINKINFO, b""))
        yield LinkState(
            index,
            attributes.text_of(parts[_IFLA_IFNAME]),
            attributes.text_of(information.get(_IFLA_INFO_KIND, b"")),
            mac,
            _number(parts[_IFLA_MTU]),
            _number(parts[_IFLA_NUM_RX_QUEUES]) if _IFLA_NUM_RX_QUEUES in parts else 1,
            bool(flags & _IFF_UP),
        )


def _routes(channel: Channel) -> Iterator[Route]:
    for family in (socket.AF_INET, socket.AF_INET6):
        for body in channel.dump(_GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, length, _, _, table, _, _, kind, flags = _ROUTE.unpack_from(body)
            parts = attributes.parse(body[_ROUTE.size :])
            if _RTA_TABLE in parts:
                table = _number(parts[_RTA_TABLE])
            if table not in (MAIN, LOCAL) or flags & (_UNUSABLE | _CLONED):
                continue
            yield _route(family, length, kind, table, parts)


def _route(family: int, length: int, kind: int, table: int, parts: dict[int, memoryview]) -> Route:
    bits = 4 if family == socket.AF_INET else 16
    destination = socket.inet_ntop(family, bytes(parts.get(_RTA_DST, bytes(bits))))
    gateway = parts.get(_RTA_GATEWAY)
    metrics = attributes.parse(parts.get(_RTA_METRICS, b""))
    by_kernel = kind != _RTN_UNICAST or any(odd in parts for odd in (_RTA_MULTIPATH, _RTA_VIA, _RTA_ENCAP, _RTA_NH_ID))
    return Route(
        f"{destination}/{length}",
        None if by_kernel or _RTA_OIF not in parts else _number(parts[_RTA_OIF]),
        socket.inet_ntop(family, gateway) if gateway is not None else None,
        _number(parts[_RTA_PRIORITY]) if _RTA_PRIORITY in parts else 0,
        _number(metrics[_RTAX_MTU]) if _RTAX_MTU in metrics else None,
        table == LOCAL,
    )


def _neighbours(channel: Channel) -> Iterator[Neighbour]:
    for body in channel.dump(_GETNEIGH, _NEIGHBOUR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        family, interface, state, _, _ = _NEIGHBOUR.unpack_from(body)
        if family not in (socket.AF_INET, socket.AF_INET6) or not state & _KNOWN:
            continue
        parts = attributes.parse(body[_NEIGHBOUR.size :])
        mac = bytes(parts.get(_NDA_LLADDR, b""))
        if len(mac) == 6 and _NDA_DST in parts:
            yield Neighbour(interface, socket.inet_ntop(family, parts[_NDA_DST]), mac, bool(state & _STALE))


def _is_simple(channel: Channel) -> bool:
    for body in channel.dump(_GETRULE, bytes(_RULE_SIZE)):
        if body[0] not in (socket.AF_INET, socket.AF_INET6):
            continue
        parts = attributes.parse(body[_RULE_SIZE:])
        priority = _number(parts[_FRA_PRIORITY]) if _FRA_PRIORITY in parts else 0
        table = _number(parts[_FRA_TABLE]) if _FRA_TABLE in parts else body[_RULE_TABLE_AT]
        if (priority, table) not in _ORDINARY_RULES:
            return False
    return True


def _number(value: memoryview) -> int:
    """A number in the machine's own byte order, as rtnetlink has them."""
    return int.from_bytes(value, sys.byteorder)
