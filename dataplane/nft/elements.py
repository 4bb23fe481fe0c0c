"""Set elements in bulk: 100,000 in some tens of milliseconds.

An element is a pair of bytes: its key, and a tail that says what follows the key (a map's data, or the end of an
interval). Both come packed from here; equal pairs are equal elements, which is all that comparing needs.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from dataplane.netlink import attributes
from dataplane.netlink.attributes import NESTED, attribute, nested, string
from dataplane.netlink.messages import netfilter_body
from dataplane.nft import fields, kernel
from dataplane.nft.layer3 import Layer3
from dataplane.nft.statements import verdict

Element: TypeAlias = tuple[bytes, bytes]
"""(key, tail)"""

#: Bytes of elements in one message. The list's length is a 16-bit number.
_MESSAGE_ROOM = 64_000


# --- tails ----------------------------------------------------------------------------------------------------------

NO_TAIL = b""


def endpoint_tail(address: str, port: int) -> bytes:
    """A map's data: an address and a port."""
    return _ENDPOINT_HEADS[":" in address] + fields.address(address) + fields.port(port)


def value_tail(value: bytes) -> bytes:
    """A map's data: packed fields."""
    return nested(kernel.NFTA_SET_ELEM_DATA, attribute(kernel.NFTA_DATA_VALUE, value))


# What stands before an endpoint, for IPv4 and IPv6. So packing one is cheap, and none needs to be remembered: pods come
# under ever new addresses, and a memory of them would grow for as long as the process lives.
_ENDPOINT_HEADS = tuple(value_tail(bytes(length + fields.PORT_WORD))[:8] for length in (4, 16))


def value_of(tail: bytes) -> bytes:
    """The packed fields of a map's data."""
    return tail[8:]


@functools.lru_cache(maxsize=4096)
def goto_tail(chain: str) -> bytes:
    """A map's data: go to the chain."""
    return nested(kernel.NFTA_SET_ELEM_DATA, verdict(kernel.Verdict.GOTO, chain))


DROP_TAIL = nested(kernel.NFTA_SET_ELEM_DATA, verdict(kernel.Verdict.DROP))


def canonical_data(value: bytes) -> bytes:
    """The tail for a map's data as the kernel lists it: without flags that say which attributes are lists."""
    if value.startswith(attributes.header(len(value), kernel.NFTA_DATA_VALUE)):
        return nested(kernel.NFTA_SET_ELEM_DATA, value)
    return _canonical_verdict(value)


@functools.lru_cache(maxsize=4096)
def _canonical_verdict(value: bytes) -> bytes:
    """Of these there are no more than chains to go to, and many frontends share one."""
    parts = attributes.parse(value)
    said = attributes.parse(parts[kernel.NFTA_DATA_VERDICT])
    code = int.from_bytes(said[kernel.NFTA_VERDICT_CODE], "big", signed=True)
    chain = said.get(kernel.NFTA_VERDICT_CHAIN)
    data = verdict(code, None if chain is None else attributes.text_of(chain))
    return nested(kernel.NFTA_SET_ELEM_DATA, data)


def interval_end(last_key: bytes) -> bytes:
    """The last key that the element covers; its first is the element's key."""
    return nested(kernel.NFTA_SET_ELEM_KEY_END, attribute(kernel.NFTA_DATA_VALUE, last_key))


def expiring(tail: bytes, milliseconds: int) -> bytes:
    """The tail of an element that has only so much of its set's timeout left."""
    return tail + attribute(kernel.NFTA_SET_ELEM_EXPIRATION, milliseconds.to_bytes(8, "big"))


# --- packing --------------------------------------------------------------------------------------------------------

_HEAD = struct.Struct("=HHHHHH")


@functools.lru_cache(maxsize=4096)
def _head(key_length: int, tail_length: int) -> bytes:
    """The three attribute headers in front of a key. Keys and tails are whole words, so nothing is padded."""
    return _HEAD.pack(
        _HEAD.size + key_length + tail_length,
        kernel.NFTA_LIST_ELEM | NESTED,
        8 + key_length,
        kernel.NFTA_SET_ELEM_KEY | NESTED,
        4 + key_length,
        kernel.NFTA_DATA_VALUE,
    )


def messages(layer: Layer3, set_name: str, elements: Sequence[Element]) -> Iterator[tuple[int, bytes]]:
    """(How many elements, body) of the messages that add these elements to a set, or delete them from it."""
    target = string(kernel.NFTA_SET_ELEM_LIST_TABLE, layer.table) + string(kernel.NFTA_SET_ELEM_LIST_SET, set_name)
    chunk: list[bytes] = []
    room = _MESSAGE_ROOM
    for key, tail in elements:
        packed = _head(len(key), len(tail)) + key + tail
        room -= len(packed)
        if room < 0:
            yield len(chunk), _message(layer, target, chunk)
            chunk, room = [], _MESSAGE_ROOM - len(packed)
        chunk.append(packed)
    if chunk:
        yield len(chunk), _message(layer, target, chunk)


def _message(layer: Layer3, target: bytes, chunk: list[bytes]) -> bytes:
    return netfilter_body(layer.number, target + nested(kernel.NFTA_SET_ELEM_LIST_ELEMENTS, *chunk))
