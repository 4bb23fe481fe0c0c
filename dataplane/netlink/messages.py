"""Netlink messages: the header of sixteen bytes, and nfnetlink's four bytes behind it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

# nlmsghdr.nlmsg_type of the messages that netlink itself defines (linux/netlink.h)
ERROR = 2
DONE = 3

# nlmsghdr.nlmsg_flags
REQUEST = 0x1
ACK = 0x4
DUMP_INTERRUPTED = 0x10
DUMP = 0x300
REPLACE = 0x100
EXCLUSIVE = 0x200
CREATE = 0x400
APPEND = 0x800
CAPPED = 0x100  #: in an error: the refused message is not repeated behind its header
EXTENDED_ACK = 0x200  #: in an error: attributes with details follow

_HEADER = struct.Struct("=IHHII")
_NETFILTER = struct.Struct(">BBH")


class Message(NamedTuple):
    """One message as received. `body` is what follows the netlink header."""

    kind: int
    flags: int
    sequence: int
    port: int
    body: memoryview


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A packed message; the kernel fills in who sends it."""
    padding = -len(body) % 4
    return _HEADER.pack(_HEADER.size + len(body) + padding, kind, flags, sequence, 0) + body + b"\0" * padding


def netfilter_body(family: int, attributes: bytes, resource: int = 0) -> bytes:
    """The body of an nfnetlink message: protocol family, version 0, resource id, attributes."""
    return _NETFILTER.pack(family, 0, resource) + attributes


def netfilter_attributes(body: memoryview) -> memoryview:
    """The attributes in an nfnetlink message's body."""
    return body[_NETFILTER.size :]


def each(datagram: bytes | memoryview) -> Iterator[Message]:
    """The messages in one datagram."""
    view = memoryview(datagram)
    offset, end = 0, len(view)
    while offset + _HEADER.size <= end:
        length, kind, flags, sequence, port = _HEADER.unpack_from(view, offset)
        if length < _HEADER.size or offset + length > end:
            raise ValueError(f"netlink message of type {kind} has the impossible length {length}")
        yield Message(kind, flags, sequence, port, view[offset + _HEADER.size : offset + length])
        offset += (length + 3) & ~3
