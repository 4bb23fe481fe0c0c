"""Netlink attributes: type, length, value, padded to four bytes.

Functions return the packed bytes, ready to be joined. Most numbers in netfilter's attributes are big-endian,
unlike netlink's own headers, which use the machine's order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

NESTED = 0x8000  #: flag in the type: the value is a list of attributes
_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=HH")
_BE32 = struct.Struct("=HH4s")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


header = _HEADER.pack
"""What an attribute begins with: its length with these four bytes, and its type."""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute with the value as it is."""
    length = _HEADER.size + len(value)
    return _HEADER.pack(length, kind) + value + _PADDING[length & 3]


def nested(kind: int, *attributes: bytes) -> bytes:
    """One attribute whose value is a list of packed attributes."""
    return attribute(kind | NESTED, b"".join(attributes))


def number(kind: int, value: int) -> bytes:
    """An unsigned 32-bit number, big-endian."""
    return _BE32.pack(8, kind, value.to_bytes(4, "big"))


def signed_number(kind: int, value: int) -> bytes:
    """A signed 32-bit number, big-endian."""
    return _BE32.pack(8, kind, value.to_bytes(4, "big", signed=True))


def long_number(kind: int, value: int) -> bytes:
    """An unsigned 64-bit number, big-endian."""
    return attribute(kind, value.to_bytes(8, "big"))


def string(kind: int, text: str) -> bytes:
    """Text that ends with a zero byte."""
    return attribute(kind, text.encode() + b"\0")


def each(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """The (type, value) of every attribute in a list, flags stripped from the type.

    Raises ValueError if a length points outside.
    """
    return ((kind & _TYPE_MASK, value) for kind, value in each_with_flags(data))


def each_with_flags(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """As `each`, but with the flags in the type as they are."""
    view = memoryview(data)
    offset, end = 0, len(view)
    while offset + _HEADER.size <= end:
        length, kind = _HEADER.unpack_from(view, offset)
        if length < _HEADER.size or offset + length > end:
            raise ValueError(f"netlink attribute {kind & _TYPE_MASK} has the impossible length {length}")
        yield kind, view[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def parse(data: bytes | memoryview) -> dict[int, memoryview]:
    """A list of attributes by type; of several with one type the last is kept (for lists, use `each`)."""
    return dict(each(data))


def text_of(value: bytes | memoryview) -> str:
    """The text in a string attribute."""
    return bytes(value).rstrip(b"\0").decode(errors="replace")


def number_of(value: bytes | memoryview) -> int:
    """The big-endian number in an attribute, of any width."""
    return int.from_bytes(value, "big")
