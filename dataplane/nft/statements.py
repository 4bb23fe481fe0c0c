"""What rules are made of. Every statement is written twice: as people read it, and as the kernel takes it.

The tests load the first through `nft` and the second through netlink, and compare what the kernel then lists.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

from dataplane.netlink.attributes import attribute, nested, number, signed_number, string
from dataplane.nft import fields, kernel
from dataplane.nft.fields import Field, expression
from dataplane.nft.layer3 import Layer3
from dataplane.table import Endpoint, Protocol

_EQUAL, _NOT_EQUAL = 0, 1
_LOOKUP_INVERTED = 1
_DYNSET_UPDATE = 1  # add, or refresh the timer of what is there
_NAT_DESTINATION = 1
_MASQUERADE_FULLY_RANDOM = 0x10
_REJECT_WITH_ICMP = 0
_META_MARK, _META_INPUT_INTERFACE_NAME = 3, 6
_CT_STATE, _CT_DIRECTION, _CT_STATUS, _CT_MARK = 0, 1, 2, 3
_STATE_NEW, _STATUS_DNAT = 0x8, 0x20
_REJECT_WITH_RESET = 1
_FIB_SOURCE, _FIB_DESTINATION, _FIB_ADDRESS_TYPE, _LOCAL = 0x1, 0x2, 3, 2
_INTERFACE_NAME_SIZE = 16

_FIRST = kernel.REGISTER_FIRST
_BEHIND_ADDRESS = fields.register(4)  # the first one that an IPv6 address in front leaves free
_NATIVE = struct.Struct("=I")


class Statement(NamedTuple):
    """One part of a rule: `text` in nft's language, `code` as packed expressions."""

    text: str
    code: bytes


class Rule(NamedTuple):
    """Statements in order; the first condition that does not hold ends the rule."""

    text: str
    code: bytes


def rule(*statements: Statement) -> Rule:
    return Rule(" ".join(s.text for s in statements if s.text), b"".join(s.code for s in statements))


# --- conditions ---------------------------------------------------------------------------------------------------


def data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(kernel.NFTA_DATA_VALUE, value))


def _compare(operation: int, value: bytes) -> bytes:
    return expression("cmp", number(1, _FIRST), number(2, operation), data(3, value))


def _bitwise(mask: int | bytes, flip: int | bytes) -> bytes:
    """The first register becomes (register & mask) ^ flip; numbers are in the machine's order."""
    mask = _NATIVE.pack(mask) if isinstance(mask, int) else mask
    flip = _NATIVE.pack(flip) if isinstance(flip, int) else flip
    return expression(
        "bitwise", number(1, _FIRST), number(2, _FIRST), number(3, len(mask)), data(4, mask), data(5, flip)
    )


def _has_bit(load: bytes, bit: int) -> bytes:
    return load + _bitwise(bit, 0) + _compare(_NOT_EQUAL, _NATIVE.pack(0))


def _in_network(item: Field, network: str, operation: int) -> bytes:
    """Compare the network's part of an address field. Whole bytes need no mask, and so nft writes it."""
    parsed = ipaddress.ip_network(network)
    base, offset = item.loads
    whole, rest = divmod(parsed.prefixlen, 8)
    if not rest:
        prefix = parsed.network_address.packed[:whole]
        return fields.payload(base, offset, whole, _FIRST) + _compare(operation, prefix)
    masked = _bitwise(parsed.netmask.packed, bytes(item.length))
    return item.load(_FIRST) + masked + _compare(operation, parsed.network_address.packed)


def from_network(layer: Layer3, network: str) -> Statement:
    """The source is in the network; for the one that holds everything there is nothing to compare."""
    if network.endswith("/0"):
        return Statement("", b"")
    return Statement(f"{layer} saddr {network}", _in_network(fields.source(layer), network, _EQUAL))


def to_network(layer: Layer3, network: str) -> Statement:
    if network.endswith("/0"):
        return Statement("", b"")
    return Statement(f"{layer} daddr {network}", _in_network(fields.destination(layer), network, _EQUAL))


def not_to_network(layer: Layer3, network: str) -> Statement:
    code = _in_network(fields.destination(layer), network, _NOT_EQUAL)
    return Statement(f"{layer} daddr != {network}", code)


def from_interface(name: str, prefix: bool) -> Statement:
    """By name, not index: the interface may come and go. Locally generated packets have none."""
    code = expression("meta", number(2, _META_INPUT_INTERFACE_NAME), number(1, _FIRST))
    wanted = name.encode() if prefix else name.encode().ljust(_INTERFACE_NAME_SIZE, b"\0")
    return Statement(f'iifname "{name}{"*" if prefix else ""}"', code + _compare(_EQUAL, wanted))


def _fib_local(which: int, operation: int = _EQUAL) -> bytes:
    code = expression("fib", number(1, _FIRST), number(2, _FIB_ADDRESS_TYPE), number(3, which))
    return code + _compare(operation, _NATIVE.pack(_LOCAL))


FROM_THIS_HOST = Statement("fib saddr type local", _fib_local(_FIB_SOURCE))
TO_THIS_HOST = Statement("fib daddr type local", _fib_local(_FIB_DESTINATION))
TO_ELSEWHERE = Statement("fib daddr type != local", _fib_local(_FIB_DESTINATION, _NOT_EQUAL))

NEW = Statement("ct state new", _has_bit(expression("ct", number(1, _FIRST), number(2, _CT_STATE)), _STATE_NEW))
TRANSLATED = Statement(
    "ct status dnat", _has_bit(expression("ct", number(1, _FIRST), number(2, _CT_STATUS)), _STATUS_DNAT)
)

#: Packets of a connection that go the way its first one went.
ORIGINAL = Statement(
    "ct direction original", expression("ct", number(1, _FIRST), number(2, _CT_DIRECTION)) + _compare(_EQUAL, b"\0")
)


def one_in(count: int) -> Statement:
    """Holds for one packet in so many, by chance."""
    draw = fields.random_number(count)
    return Statement(f"{draw.text} 0", draw.load(_FIRST) + _compare(_EQUAL, fields.index(0)))


def is_protocol(protocol: Protocol) -> Statement:
    code = fields.PROTOCOL.load(_FIRST) + _compare(_EQUAL, bytes([protocol.number]))
    return Statement(f"meta l4proto {protocol.lower()}", code)


def _lookup(set_name: str, flags: int = 0, into: int | None = None) -> bytes:
    parts = [string(1, set_name), number(2, _FIRST)]
    if into is not None:
        parts.append(number(3, into))
    return expression("lookup", *parts, number(5, flags))


def in_set(key: tuple[Field, ...], set_name: str) -> Statement:
    return Statement(f"{fields.concatenation(key)} @{set_name}", fields.load(key) + _lookup(set_name))


def not_in_set(key: tuple[Field, ...], set_name: str) -> Statement:
    code = fields.load(key) + _lookup(set_name, _LOOKUP_INVERTED)
    return Statement(f"{fields.concatenation(key)} != @{set_name}", code)


# --- ends of a rule -----------------------------------------------------------------------------------------------


def verdict(code: int, chain: str | None = None) -> bytes:
    """A verdict as data: the immediate end of a rule, or what an element of a verdict map holds."""
    parts = [signed_number(kernel.NFTA_VERDICT_CODE, code)]
    if chain is not None:
        parts.append(string(kernel.NFTA_VERDICT_CHAIN, chain))
    return nested(kernel.NFTA_DATA_VERDICT, *parts)


def _end(code: kernel.Verdict, chain: str | None = None) -> bytes:
    data = nested(2, verdict(code, chain))
    return expression("immediate", number(1, kernel.REGISTER_VERDICT), data)


def goto(chain: str) -> Statement:
    return Statement(f"goto {chain}", _end(kernel.Verdict.GOTO, chain))


def jump(chain: str) -> Statement:
    return Statement(f"jump {chain}", _end(kernel.Verdict.JUMP, chain))


DROP = Statement("drop", _end(kernel.Verdict.DROP))
RETURN = Statement("return", _end(kernel.Verdict.RETURN))


def reject(layer: Layer3) -> Statement:
    """ICMP port unreachable, also to TCP."""
    code = expression("reject", number(1, _REJECT_WITH_ICMP), attribute(2, bytes([layer.port_unreachable])))
    return Statement("reject", code)


RESET = Statement("reject with tcp reset", expression("reject", number(1, _REJECT_WITH_RESET)))


def look_up_verdict(key: tuple[Field, ...], map_name: str) -> Statement:
    code = fields.load(key) + _lookup(map_name, into=kernel.REGISTER_VERDICT)
    return Statement(f"{fields.concatenation(key)} vmap @{map_name}", code)


# --- changes to the packet or to memory ------------------------------------------------------------------------


def set_mark(bit: int) -> Statement:
    return Statement(f"meta mark set meta mark | {bit:#010x}", _change_mark(~bit & 0xFFFFFFFF, bit))


def has_mark(bit: int) -> Statement:
    load = expression("meta", number(2, _META_MARK), number(1, _FIRST))
    return Statement(f"meta mark & {bit:#010x} != 0x00000000", _has_bit(load, bit))


def flip_mark(bit: int) -> Statement:
    return Statement(f"meta mark set meta mark ^ {bit:#010x}", _change_mark(0xFFFFFFFF, bit))


def _change_mark(mask: int, flip: int) -> bytes:
    load = expression("meta", number(2, _META_MARK), number(1, _FIRST))
    store = expression("meta", number(2, _META_MARK), number(3, _FIRST))
    return load + _bitwise(mask, flip) + store


def set_mark_to(value: int) -> Statement:
    """The packet's whole mark."""
    text = f"meta mark set {value:#010x}"
    return Statement(text, _constant(_FIRST, _NATIVE.pack(value)) + _store_mark())


def look_up_mark(key: tuple[Field, ...], map_name: str) -> Statement:
    """The packet's whole mark becomes what a map has for the key. Nothing there: go on with the next rule."""
    code = fields.load(key) + _lookup(map_name, into=_FIRST) + _store_mark()
    return Statement(f"meta mark set {fields.concatenation(key)} map @{map_name}", code)


def clear_mark_bit(bit: int) -> Statement:
    kept = ~bit & 0xFFFFFFFF
    return Statement(f"meta mark set meta mark & {kept:#010x}", _change_mark(kept, 0))


def mark_begins(prefix: int, mask: int) -> Statement:
    """The bits of the mark under the mask are these."""
    load = expression("meta", number(2, _META_MARK), number(1, _FIRST))
    code = load + _bitwise(mask, 0) + _compare(_EQUAL, _NATIVE.pack(prefix))
    return Statement(f"meta mark & {mask:#010x} == {prefix:#010x}", code)


def mark_is(value: int) -> Statement:
    load = expression("meta", number(2, _META_MARK), number(1, _FIRST))
    return Statement(f"meta mark {value:#010x}", load + _compare(_EQUAL, _NATIVE.pack(value)))


def _store_mark() -> bytes:
    return expression("meta", number(2, _META_MARK), number(3, _FIRST))


def connection_has_mark(bit: int) -> Statement:
    load = expression("ct", number(1, _FIRST), number(2, _CT_MARK))
    return Statement(f"ct mark & {bit:#010x} != 0x00000000", _has_bit(load, bit))


def set_connection_mark(bit: int) -> Statement:
    load = expression("ct", number(1, _FIRST), number(2, _CT_MARK))
    store = expression("ct", number(2, _CT_MARK), number(4, _FIRST))
    return Statement(f"ct mark set ct mark | {bit:#010x}", load + _bitwise(~bit & 0xFFFFFFFF, bit) + store)


MASQUERADE = Statement("masquerade fully-random", expression("masq", number(1, _MASQUERADE_FULLY_RANDOM)))


def _dnat(layer: Layer3, address_register: int, port_register: int) -> bytes:
    return expression(
        "nat",
        number(1, _NAT_DESTINATION),
        number(2, layer.number),
        number(3, address_register),
        number(5, port_register),
    )


def dnat_to_map(layer: Layer3, key: tuple[Field, ...], map_name: str) -> Statement:
    """To the address and port that a map has for the key. Nothing there: go on with the next rule."""
    code = fields.load(key) + _lookup(map_name, into=_FIRST)
    port_register = fields.register(layer.address_length // 4)
    return Statement(
        f"dnat {layer} to {fields.concatenation(key)} map @{map_name}", code + _dnat(layer, _FIRST, port_register)
    )


def dnat_to_remembered(layer: Layer3, key: tuple[Field, ...], map_name: str, to_port: int) -> Statement:
    """To the address that a map has for the key, and this port. Nothing there: go on with the next rule."""
    into_registers = fields.load(key) + _lookup(map_name, into=_FIRST) + _constant(_BEHIND_ADDRESS, _port(to_port))
    text = f"dnat to {fields.concatenation(key)} map @{map_name}:{to_port}"
    return Statement(text, into_registers + _dnat(layer, _FIRST, _BEHIND_ADDRESS))


def dnat_to(layer: Layer3, endpoint: Endpoint) -> Statement:
    into_registers = _constant(_FIRST, fields.address(endpoint.address)) + _constant(
        _BEHIND_ADDRESS, _port(endpoint.port)
    )
    return Statement(f"dnat to {endpoint}", into_registers + _dnat(layer, _FIRST, _BEHIND_ADDRESS))


def remember(layer: Layer3, map_name: str, address: str) -> Statement:
    """The source goes with this address from now on; if it has one already, that stays, with its timer renewed."""
    key = fields.source(layer)
    update = _update(map_name, number(5, _BEHIND_ADDRESS))
    code = key.load(_FIRST) + _constant(_BEHIND_ADDRESS, fields.address(address)) + update
    return Statement(f"update @{map_name} {{ {key.text} : {address} }}", code)


def note(key: tuple[Field, ...], set_name: str) -> Statement:
    """What the packet shows there is in the set from now on, with a new timer; unless the set is full."""
    return Statement(f"update @{set_name} {{ {fields.concatenation(key)} }}", fields.load(key) + _update(set_name))


def _update(set_name: str, *data: bytes) -> bytes:
    return expression("dynset", string(1, set_name), number(3, _DYNSET_UPDATE), number(4, _FIRST), *data)


def _constant(register: int, value: bytes) -> bytes:
    return expression("immediate", number(1, register), data(2, value))


def _port(port: int) -> bytes:
    return port.to_bytes(2, "big")
