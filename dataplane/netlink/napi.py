"""How a driver's receive queues are polled (linux/netdev.h, family "netdev" of generic netlink; Linux 6.13)."""

from __future__ import annotations

import struct
import sys
from typing import NamedTuple

from dataplane.netlink import attributes
from dataplane.netlink.channel import Channel

NETLINK_GENERIC = 16

_CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2
_NAPI_GET, _NAPI_SET = 11, 14
_IFINDEX, _ID, _DEFER_HARD_IRQS, _GRO_FLUSH_TIMEOUT = 1, 2, 5, 6

_HEADER = struct.Struct("=BBxx")  # genlmsghdr: command, version


class Deferral(NamedTuple):
    """When a receive queue does without interrupts: for so many polls that find nothing. Between them the kernel polls
    after so many nanoseconds, unless somebody else does before. None with 0 polls."""

    number: int
    polls: int
    nanoseconds: int


class NapiSettings:
    """A generic netlink socket. OSError (NetlinkError) if the kernel does not have this."""

    def __init__(self) -> None:
        self._channel = Channel(NETLINK_GENERIC)
        try:
            name = attributes.string(_FAMILY_NAME, "netdev")
            (answer,) = self._channel.request(_CONTROL, _HEADER.pack(_GET_FAMILY, 1) + name)
        except BaseException:
            self._channel.close()
            raise
        self._family = _number(attributes.parse(answer.body[_HEADER.size :])[_FAMILY_ID])

    @property
    def family(self) -> int:
        """The kernel's number for "netdev", for who writes messages without this class."""
        return self._family

    def fileno(self) -> int:
        return self._channel.fileno()

    def close(self) -> None:
        self._channel.close()

    def queues(self, interface: int) -> tuple[Deferral, ...]:
        """How the receive queues of an interface are polled now."""
        wanted = _HEADER.pack(_NAPI_GET, 1) + _word(_IFINDEX, interface)
        parts = [attributes.parse(body[_HEADER.size :]) for body in self._channel.dump(self._family, wanted)]
        return tuple(
            Deferral(*(_number(part[kind]) for kind in (_ID, _DEFER_HARD_IRQS, _GRO_FLUSH_TIMEOUT))) for part in parts
        )

    def set(self, wanted: Deferral) -> None:
        """How one receive queue is polled from now on."""
        change = _word(_ID, wanted.number) + _word(_DEFER_HARD_IRQS, wanted.polls)
        change += _word(_GRO_FLUSH_TIMEOUT, wanted.nanoseconds)
        self._channel.request(self._family, _HEADER.pack(_NAPI_SET, 1) + change)


def _word(kind: int, value: int) -> bytes:
    return attributes.attribute(kind, struct.pack("=I", value))


def _number(value: memoryview) -> int:
    return int.from_bytes(value, sys.byteorder)
