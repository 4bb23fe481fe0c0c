"""The addresses of this host, as the kernel lists them."""

from __future__ import annotations

import socket
import struct

from dataplane.netlink import attributes
from dataplane.netlink.channel import NETLINK_ROUTE, Channel

_RTM_GETADDR = 22
_HEADER = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, interface index
_IFA_ADDRESS, _IFA_LOCAL = 1, 2


def local_addresses() -> frozenset[str]:
    """Every IPv4 and IPv6 address of every interface in this network namespace, in canonical form."""
    found: set[str] = set()
    with Channel(NETLINK_ROUTE) as channel:
        for body in channel.dump(_RTM_GETADDR, _HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            family = body[0]
            if family not in (socket.AF_INET, socket.AF_INET6):
                continue
            parts = attributes.parse(body[_HEADER.size :])
            # On a point-to-point link the plain address is the peer's.
            packed = parts.get(_IFA_LOCAL, parts.get(_IFA_ADDRESS))
            if packed is not None:
                found.add(socket.inet_ntop(family, packed))
    return frozenset(found)
