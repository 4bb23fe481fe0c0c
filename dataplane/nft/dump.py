"""What the kernel really holds in our tables, in the same values that we write."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import NamedTuple

from dataplane.netlink import attributes
from dataplane.netlink.attributes import number_of, string, text_of
from dataplane.netlink.channel import Channel, NetlinkError
from dataplane.netlink.messages import netfilter_attributes, netfilter_body
from dataplane.nft import elements, kernel
from dataplane.nft.kernel import Hook, Message
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import BaseHook


class SetSignature(NamedTuple):
    """What of a set cannot be changed while it exists. Timeout in milliseconds."""

    flags: int
    key_type: int
    key_length: int
    data_type: int
    data_length: int
    timeout: int


class FoundElement(NamedTuple):
    key: bytes
    tail: bytes
    expires: int  #: milliseconds from now, or 0


def generation(channel: Channel) -> int:
    """A number that every committed nftables transaction of this network namespace changes."""
    (answer,) = channel.request(Message.GETGEN, netfilter_body(0, b""))
    return number_of(attributes.parse(netfilter_attributes(answer.body))[kernel.NFTA_GEN_ID])


def table_exists(channel: Channel, layer: Layer3) -> bool:
    return table_flags(channel, layer) is not None


def table_flags(channel: Channel, layer: Layer3) -> int | None:
    """Flags of our table (NFT_TABLE_F_*); None if it does not exist."""
    for found in _dump(channel, Message.GETTABLE, layer, b""):
        if text_of(found[kernel.NFTA_TABLE_NAME]) == layer.table:
            return number_of(found[kernel.NFTA_TABLE_FLAGS])
    return None


def chains(channel: Channel, layer: Layer3) -> dict[str, BaseHook | None]:
    """The chains by name, with where they hook in, if they are base chains."""
    found: dict[str, BaseHook | None] = {}
    for chain in _dump(channel, Message.GETCHAIN, layer, b""):
        if text_of(chain[kernel.NFTA_CHAIN_TABLE]) != layer.table:
            continue  # the kernel lists the chains of all tables of the family
        base = None
        if kernel.NFTA_CHAIN_HOOK in chain:
            hook = attributes.parse(chain[kernel.NFTA_CHAIN_HOOK])
            base = BaseHook(
                text_of(chain[kernel.NFTA_CHAIN_TYPE]),
                Hook(number_of(hook[kernel.NFTA_HOOK_HOOKNUM])),
                int.from_bytes(hook[kernel.NFTA_HOOK_PRIORITY], "big", signed=True),
            )
        found[text_of(chain[kernel.NFTA_CHAIN_NAME])] = base
    return found


def sets(channel: Channel, layer: Layer3) -> dict[str, SetSignature]:
    """The named sets and maps."""
    found: dict[str, SetSignature] = {}
    for spec in _dump(channel, Message.GETSET, layer, string(kernel.NFTA_SET_TABLE, layer.table)):
        flags = number_of(spec.get(kernel.NFTA_SET_FLAGS, b""))
        if not flags & kernel.SetFlag.ANONYMOUS:
            found[text_of(spec[kernel.NFTA_SET_NAME])] = signature(spec)
    return found


def signature(spec: dict[int, memoryview]) -> SetSignature:
    """Of a set's attributes, written by us or by the kernel."""

    def of(kind: int) -> int:
        return number_of(spec.get(kind, b""))

    data_type = of(kernel.NFTA_SET_DATA_TYPE)
    return SetSignature(
        of(kernel.NFTA_SET_FLAGS),
        of(kernel.NFTA_SET_KEY_TYPE),
        of(kernel.NFTA_SET_KEY_LEN),
        data_type,
        0 if data_type == kernel.DATA_TYPE_VERDICT else of(kernel.NFTA_SET_DATA_LEN),
        of(kernel.NFTA_SET_TIMEOUT),
    )


def rules(channel: Channel, layer: Layer3) -> dict[str, list[bytes]]:
    """Each chain's rules in order, as their expressions' attributes."""
    found: dict[str, list[bytes]] = {}
    for rule in _dump(channel, Message.GETRULE, layer, string(kernel.NFTA_RULE_TABLE, layer.table)):
        code = bytes(rule.get(kernel.NFTA_RULE_EXPRESSIONS, b""))
        found.setdefault(text_of(rule[kernel.NFTA_RULE_CHAIN]), []).append(code)
    return found


def set_elements(channel: Channel, layer: Layer3, name: str) -> list[FoundElement]:
    """The elements of a set. A key that the kernel lists twice, as it may while it resizes a set, is found once."""
    wanted = string(kernel.NFTA_SET_ELEM_LIST_TABLE, layer.table) + string(kernel.NFTA_SET_ELEM_LIST_SET, name)
    found: dict[tuple[bytes, bytes], FoundElement] = {}
    for part in _dump(channel, Message.GETSETELEM, layer, wanted):
        for _, element in attributes.each(part.get(kernel.NFTA_SET_ELEM_LIST_ELEMENTS, b"")):
            one = _element(element)
            found[one.key, one.tail] = one
    return list(found.values())


def _element(packed: memoryview) -> FoundElement:
    parts = attributes.parse(packed)
    key = bytes(parts[kernel.NFTA_SET_ELEM_KEY][4:])
    tail = elements.NO_TAIL
    if kernel.NFTA_SET_ELEM_DATA in parts:
        tail = elements.canonical_data(bytes(parts[kernel.NFTA_SET_ELEM_DATA]))
    elif kernel.NFTA_SET_ELEM_KEY_END in parts:
        tail = elements.interval_end(bytes(parts[kernel.NFTA_SET_ELEM_KEY_END][4:]))
    return FoundElement(key, tail, number_of(parts.get(kernel.NFTA_SET_ELEM_EXPIRATION, b"")))


def _dump(channel: Channel, kind: Message, layer: Layer3, wanted: bytes) -> Iterator[dict[int, memoryview]]:
    """Each object's attributes by type. What does not exist has nothing to list."""
    try:
        bodies = channel.dump(kind, netfilter_body(layer.number, wanted))
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return
        raise
    for body in bodies:
        yield attributes.parse(netfilter_attributes(body))
