"""How full the kernel's connection table is, and how often it has refused a new connection.

The kernel counts entries for each network namespace and holds each count against one limit
(net.netfilter.nf_conntrack_max). Where that is reached it drops what begins a new connection, and counts that in
``drop``. It has other reasons to, all of them rare; so `Room` is to be read as a whole.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from dataplane.netlink import attributes, messages
from dataplane.netlink.attributes import number_of
from dataplane.netlink.channel import Channel

_GET_STATS_CPU, _GET_STATS = 0x104, 0x105  # IPCTNL_MSG_CT_GET_STATS_CPU, _GET_STATS in the ctnetlink subsystem
_CTA_STATS_GLOBAL_ENTRIES, _CTA_STATS_GLOBAL_MAX_ENTRIES = 1, 2
_CTA_STATS_DROP = 10


class Room(NamedTuple):
    """A look at the table."""

    entries: int
    limit: int  #: 0: there is none
    dropped: int  #: packets, since the namespace began; a number of 32 bits for each CPU, which may begin anew


class RoomSource(Protocol):
    """Who can look at it."""

    def look(self) -> Room:
        """Takes microseconds. Raises OSError."""


class ConntrackRoom:
    """Looks at the table of the network namespace of the thread that makes it. Raises OSError."""

    def __init__(self) -> None:
        self._channel = Channel()

    def close(self) -> None:
        self._channel.close()

    def look(self) -> Room:
        nothing = messages.netfilter_body(socket.AF_UNSPEC, b"")
        found = _parsed(self._channel.request(_GET_STATS, nothing)[0].body)
        cpus = [_parsed(body) for body in self._channel.dump(_GET_STATS_CPU, nothing)]
        return Room(
            number_of(found[_CTA_STATS_GLOBAL_ENTRIES]),
            number_of(found[_CTA_STATS_GLOBAL_MAX_ENTRIES]),
            sum(number_of(cpu[_CTA_STATS_DROP]) for cpu in cpus),
        )


def _parsed(body: memoryview) -> Mapping[int, memoryview]:
    return attributes.parse(messages.netfilter_attributes(body))
