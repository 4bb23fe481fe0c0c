"""Packet fields: what a set is keyed by and what a rule loads to look it up.

A field knows its three faces: the words in nft's language, the expression that loads it into a register, and the
type that makes `nft list` print it and `nft -f` read it back. So a set's key is written once, and every lookup
in that set follows from it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from socket import AF_INET, AF_INET6, inet_pton

from dataplane.netlink.attributes import nested, number, string
from dataplane.nft import kernel
from dataplane.nft.layer3 import Layer3

_PAYLOAD_NETWORK, _PAYLOAD_TRANSPORT = 1, 2
_META_MARK, _META_L4PROTO = 3, 16
_NUMGEN_RANDOM = 1


def expression(name: str, *attributes: bytes) -> bytes:
    """One expression of a rule, as an element of its list."""
    return nested(
        kernel.NFTA_LIST_ELEM, string(kernel.NFTA_EXPR_NAME, name), nested(kernel.NFTA_EXPR_DATA, *attributes)
    )


def payload(base: int, offset: int, length: int, register: int) -> bytes:
    """Load bytes of the packet, from the start of its network or transport header."""
    return expression("payload", number(1, register), number(2, base), number(3, offset), number(4, length))


@dataclass(frozen=True, slots=True)
class Field:
    """Something of fixed length that a packet has, or that is drawn for it."""

    text: str  #: in nft's language
    type_name: str
    type_number: int
    length: int  #: in bytes, before padding to a whole register word
    describe: bytes  #: the expression in nft's `typeof` user data
    loads: tuple[int, ...]  #: payload: (base, offset); meta: (key,); numgen: (modulus, -1, -1)

    @property
    def words(self) -> int:
        return (self.length + 3) // 4

    def load(self, register: int) -> bytes:
        """The expression that puts the field into a register."""
        match self.loads:
            case (base, offset):
                return payload(base, offset, self.length, register)
            case (key,):
                return expression("meta", number(2, key), number(1, register))
            case (modulus, *_):
                return expression(
                    "numgen", number(1, register), number(2, modulus), number(3, _NUMGEN_RANDOM), number(4, 0)
                )
        raise AssertionError(self)


# nft keeps type and source of each field in a set's user data, in a format of its own: one byte type, one byte
# length, value; numbers in the machine's order. Without it, `typeof` cannot be printed, and a map with numgen in its
# key cannot be read back.
_UDATA_PAYLOAD, _UDATA_META, _UDATA_NUMGEN, _UDATA_CONCAT = 7, 9, 23, 13


def user_data(kind: int, value: bytes | int) -> bytes:
    data = struct.pack("=I", value) if isinstance(value, int) else value
    return struct.pack("=BB", kind, len(data)) + data


def _described(expression_kind: int, *values: int) -> bytes:
    inner = b"".join(user_data(i, v) for i, v in enumerate(values))
    return user_data(0, expression_kind) + user_data(1, inner)


def described(fields: tuple[Field, ...]) -> bytes:
    """The user data that names the expression of a key or of a map's data."""
    if len(fields) == 1:
        return fields[0].describe
    return user_data(0, _UDATA_CONCAT) + user_data(1, b"".join(user_data(i, f.describe) for i, f in enumerate(fields)))


_TRANSPORT_HEADER = 11  # nft's description of "any transport header"


def source(layer: Layer3) -> Field:
    describe = _described(_UDATA_PAYLOAD, layer.header_description, layer.source_field)
    loads = (_PAYLOAD_NETWORK, layer.source_offset)
    return Field(f"{layer} saddr", layer.address_type, layer.address_type_number, layer.address_length, describe, loads)


def destination(layer: Layer3) -> Field:
    describe = _described(_UDATA_PAYLOAD, layer.header_description, layer.destination_field)
    loads = (_PAYLOAD_NETWORK, layer.destination_offset)
    return Field(f"{layer} daddr", layer.address_type, layer.address_type_number, layer.address_length, describe, loads)


PROTOCOL = Field("meta l4proto", "inet_proto", 12, 1, _described(_UDATA_META, 16), (_META_L4PROTO,))
PORT = Field(
    "th dport",
    "inet_service",
    13,
    2,
    _described(_UDATA_PAYLOAD, _TRANSPORT_HEADER, 2),
    (_PAYLOAD_TRANSPORT, 2),
)
SOURCE_PORT = Field(
    "th sport",
    "inet_service",
    13,
    2,
    _described(_UDATA_PAYLOAD, _TRANSPORT_HEADER, 1),
    (_PAYLOAD_TRANSPORT, 0),
)

MARK = Field("meta mark", "mark", 19, 4, _described(_UDATA_META, _META_MARK), (_META_MARK,))


def random_number(below: int) -> Field:
    """A number from 0 to `below` - 1, drawn anew for every packet that asks."""
    describe = _described(_UDATA_NUMGEN, _NUMGEN_RANDOM, below, 0)
    return Field(f"numgen random mod {below}", "integer", 4, 4, describe, (below, -1, -1))


def concatenation(fields: tuple[Field, ...]) -> str:
    """As nft writes several fields that make one key."""
    return " . ".join(f.text for f in fields)


def load(fields: tuple[Field, ...], first_word: int = 0) -> bytes:
    """The expressions that put fields side by side into registers, as a lookup wants its key."""
    code, word = b"", first_word
    for item in fields:
        code += item.load(register(word))
        word += item.words
    return code


def register(word: int) -> int:
    """The number of the register that begins with this word, as the kernel itself shows it."""
    group, rest = divmod(word, 4)
    return kernel.REGISTER_WORD_0 + word if rest else kernel.REGISTER_FIRST + group


# --- values, as a set's element holds them -----------------------------------------------------------------------


def address(text: str) -> bytes:
    return inet_pton(AF_INET6 if ":" in text else AF_INET, text)


_PORT = struct.Struct(">H2x")
_PROTOCOL = struct.Struct("=B3x")
_INDEX = struct.Struct("=I")

protocol = _PROTOCOL.pack
port = _PORT.pack
PORT_WORD = _PORT.size  #: bytes
index = _INDEX.pack  #: a drawn number, in the machine's order
mark = _INDEX.pack  #: a packet mark, likewise
