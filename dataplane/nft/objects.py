"""Chains and sets as values, and the messages that create and remove them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace

from dataplane.netlink.attributes import attribute, long_number, nested, number, signed_number, string
from dataplane.netlink.messages import netfilter_body
from dataplane.nft import fields, kernel
from dataplane.nft.fields import Field, user_data
from dataplane.nft.kernel import SetFlag
from dataplane.nft.layer3 import Layer3
from dataplane.nft.statements import Rule


@dataclass(frozen=True, slots=True)
class BaseHook:
    """Where the kernel calls a base chain."""

    kind: str  #: ``filter``, ``nat``, or ``route``: packets whose mark or addresses it changes are routed again
    hook: kernel.Hook
    priority: int


class Holds(enum.Enum):
    """What a set has for a key."""

    NOTHING = enum.auto()  #: the key is in it or not
    VERDICT = enum.auto()
    ENDPOINT = enum.auto()  #: an address and a port
    ADDRESS = enum.auto()
    MARK = enum.auto()  #: a packet mark, in the machine's order


@dataclass(frozen=True, slots=True)
class Set:
    """A set or map. `size` bounds it, and the kernel allocates its buckets for that many at once."""

    name: str
    key: tuple[Field, ...]
    holds: Holds = Holds.NOTHING
    flags: SetFlag = SetFlag.NONE
    size: int = field(default=1024, compare=False)
    timeout: int = 0  #: seconds

    def sized(self, size: int) -> Set:
        return replace(self, size=size)

    @property
    def key_length(self) -> int:
        return 4 * sum(f.words for f in self.key) if len(self.key) > 1 else self.key[0].length

    @property
    def is_map(self) -> bool:
        return self.holds is not Holds.NOTHING

    def text(self, layer: Layer3) -> str:
        """Its declaration in nft's language, without elements."""
        held = self.held(layer)
        if any(f.type_name == "integer" for f in self.key):
            # "integer" alone says neither length nor byte order, so nft wants to know what the values are of.
            types = f"typeof {fields.concatenation(self.key)} : {fields.concatenation(held)}"
        else:
            types = "type " + " . ".join(f.type_name for f in self.key)
            types += f" : {' . '.join(f.type_name for f in held) or 'verdict'}" if self.is_map else ""
        lines = [types] if SetFlag.EVAL in self.flags else [types, f"size {self.size}"]
        words = {SetFlag.EVAL: "dynamic", SetFlag.TIMEOUT: "timeout", SetFlag.INTERVAL: "interval"}
        if flags := [word for flag, word in words.items() if flag in self.flags]:
            lines.append(f"flags {','.join(flags)}")
        if self.timeout:
            lines.append(f"timeout {self.timeout}s")
        return "\n".join([f"{self.kind} {self.name} {{", *(f"\t{line}" for line in lines), "}"])

    @property
    def kind(self) -> str:
        return "map" if self.is_map else "set"

    def held(self, layer: Layer3) -> tuple[Field, ...]:
        """What a map has for a key, as fields that have the same types; none for verdicts."""
        both = (fields.destination(layer), fields.PORT)
        return {Holds.ENDPOINT: both, Holds.ADDRESS: both[:1], Holds.MARK: (fields.MARK,)}.get(self.holds, ())


@dataclass(frozen=True, slots=True)
class Chain:
    name: str
    rules: tuple[Rule, ...]
    base: BaseHook | None = None
    needs: tuple[Set, ...] = ()  #: sets that exist for the sake of such chains

    @property
    def text(self) -> str:
        """As `nft list chain` shows it."""
        lines = [f"chain {self.name} {{"]
        if self.base:
            b = self.base
            lines.append(f"\ttype {b.kind} hook {b.hook.name.lower()} priority {b.priority}; policy accept;")
        lines += [f"\t{rule.text}" for rule in self.rules]
        return "\n".join([*lines, "}"])


# --- bodies of messages -----------------------------------------------------------------------------------------------


def new_table(layer: Layer3) -> bytes:
    return netfilter_body(layer.number, string(kernel.NFTA_TABLE_NAME, layer.table))


delete_table = new_table


def new_chain(layer: Layer3, chain: Chain) -> bytes:
    parts = [string(kernel.NFTA_CHAIN_TABLE, layer.table), string(kernel.NFTA_CHAIN_NAME, chain.name)]
    if chain.base:
        parts.append(
            nested(
                kernel.NFTA_CHAIN_HOOK,
                number(kernel.NFTA_HOOK_HOOKNUM, chain.base.hook),
                signed_number(kernel.NFTA_HOOK_PRIORITY, chain.base.priority),
            )
        )
        parts.append(string(kernel.NFTA_CHAIN_TYPE, chain.base.kind))
    return netfilter_body(layer.number, b"".join(parts))


def delete_chain(layer: Layer3, name: str) -> bytes:
    parts = string(kernel.NFTA_CHAIN_TABLE, layer.table) + string(kernel.NFTA_CHAIN_NAME, name)
    return netfilter_body(layer.number, parts)


def new_rule(layer: Layer3, chain: str, code: bytes) -> bytes:
    parts = (
        string(kernel.NFTA_RULE_TABLE, layer.table)
        + string(kernel.NFTA_RULE_CHAIN, chain)
        + nested(kernel.NFTA_RULE_EXPRESSIONS, code)
    )
    return netfilter_body(layer.number, parts)


def delete_rules(layer: Layer3, chain: str | None) -> bytes:
    """Every rule of a chain, or, without one, of the table."""
    parts = string(kernel.NFTA_RULE_TABLE, layer.table)
    if chain is not None:
        parts += string(kernel.NFTA_RULE_CHAIN, chain)
    return netfilter_body(layer.number, parts)


_CONCATENATION_SHIFT = 6
_ORDER_INVALID, _ORDER_HOST, _ORDER_NETWORK = 0, 1, 2  # nft's byte orders
_UDATA_KEY_ORDER, _UDATA_DATA_ORDER, _UDATA_KEY_TYPEOF, _UDATA_DATA_TYPEOF = 0, 1, 3, 4


def _type_number(key: tuple[Field, ...]) -> int:
    total = 0
    for item in key:
        total = total << _CONCATENATION_SHIFT | item.type_number
    return total


def new_set(layer: Layer3, spec: Set, identity: int) -> bytes:
    """`identity` is the number by which later messages of the same batch may call the set."""
    flags = spec.flags | (SetFlag.MAP if spec.is_map else SetFlag.NONE)
    # A set that packets write starts small and grows by itself up to the kernel's own bound, 65535. If it is given
    # a size, its buckets are allocated at once: a mebibyte for each service port with affinity.
    written_by_packets = SetFlag.EVAL in spec.flags
    description = b"" if written_by_packets else number(kernel.NFTA_SET_DESC_SIZE, spec.size)
    if SetFlag.INTERVAL in spec.flags and len(spec.key) > 1:
        flags |= SetFlag.CONCAT
        lengths = (nested(kernel.NFTA_LIST_ELEM, number(kernel.NFTA_SET_FIELD_LEN, item.length)) for item in spec.key)
        description += nested(kernel.NFTA_SET_DESC_CONCAT, *lengths)
    parts = [
        string(kernel.NFTA_SET_TABLE, layer.table),
        string(kernel.NFTA_SET_NAME, spec.name),
        number(kernel.NFTA_SET_FLAGS, flags),
        number(kernel.NFTA_SET_KEY_TYPE, _type_number(spec.key)),
        number(kernel.NFTA_SET_KEY_LEN, spec.key_length),
        number(kernel.NFTA_SET_ID, identity),
    ]
    if description:
        parts.append(nested(kernel.NFTA_SET_DESC, description))
    if spec.holds is Holds.VERDICT:
        parts.append(number(kernel.NFTA_SET_DATA_TYPE, kernel.DATA_TYPE_VERDICT))
        parts.append(number(kernel.NFTA_SET_DATA_LEN, 0))
    elif spec.is_map:
        held = spec.held(layer)
        parts.append(number(kernel.NFTA_SET_DATA_TYPE, _type_number(held)))
        parts.append(number(kernel.NFTA_SET_DATA_LEN, 4 * sum(f.words for f in held)))
    if spec.timeout:
        parts.append(long_number(kernel.NFTA_SET_TIMEOUT, spec.timeout * 1000))
    parts.append(attribute(kernel.NFTA_SET_USERDATA, _set_user_data(layer, spec)))
    return netfilter_body(layer.number, b"".join(parts))


def _set_user_data(layer: Layer3, spec: Set) -> bytes:
    """What nft itself would note beside the set, so that it can list it and read it back."""
    single = spec.key[0].type_name if len(spec.key) == 1 else ""
    order = {"": _ORDER_INVALID, "integer": _ORDER_HOST}.get(single, _ORDER_NETWORK)
    data = user_data(_UDATA_KEY_ORDER, order)
    if spec.is_map:
        held_order = {Holds.ADDRESS: _ORDER_NETWORK, Holds.MARK: _ORDER_HOST}.get(spec.holds, _ORDER_INVALID)
        data += user_data(_UDATA_DATA_ORDER, held_order)
    if len(spec.key) > 1 and any(f.type_name == "integer" for f in spec.key):
        # "integer" alone says neither length nor byte order: only `typeof` can be read back.
        data += user_data(_UDATA_KEY_TYPEOF, fields.described(spec.key))
        data += user_data(_UDATA_DATA_TYPEOF, fields.described(spec.held(layer)))
    return data


def delete_set(layer: Layer3, name: str) -> bytes:
    parts = string(kernel.NFTA_SET_TABLE, layer.table) + string(kernel.NFTA_SET_NAME, name)
    return netfilter_body(layer.number, parts)
