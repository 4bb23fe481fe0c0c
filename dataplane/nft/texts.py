"""Elements and rulesets as text for people, in nft's language."""

from __future__ import annotations

import socket
import struct

from dataplane.netlink import attributes
from dataplane.nft import kernel
from dataplane.nft.fields import Field
from dataplane.nft.objects import Holds, Set

_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}


def element(spec: Set, key: bytes, tail: bytes) -> str:
    """``10.96.0.10 . tcp . 80 : goto pick-2``"""
    end = attributes.parse(tail) if tail else {}
    last = end.get(kernel.NFTA_SET_ELEM_KEY_END)
    text = _key(spec.key, key, None if last is None else bytes(last[4:]))
    if kernel.NFTA_SET_ELEM_DATA in end:
        text += f" : {_data(spec, end[kernel.NFTA_SET_ELEM_DATA])}"
    return text


def _key(key: tuple[Field, ...], value: bytes, last: bytes | None) -> str:
    parts, offset = [], 0
    for item in key:
        width = 4 * item.words
        first = _field(item, value[offset : offset + width])
        end = first if last is None else _field(item, last[offset : offset + width])
        parts.append(first if first == end else f"{first}-{end}")
        offset += width
    return " . ".join(parts)


def _field(item: Field, value: bytes) -> str:
    match item.type_name:
        case "inet_proto":
            return _PROTOCOLS.get(value[0], str(value[0]))
        case "inet_service":
            return str(int.from_bytes(value[:2], "big"))
        case "integer":
            return str(struct.unpack("=I", value)[0])
    return address(value[: item.length])


def address(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _data(spec: Set, packed: memoryview) -> str:
    data = attributes.parse(packed)
    if kernel.NFTA_DATA_VALUE in data:
        value = bytes(data[kernel.NFTA_DATA_VALUE])
        if spec.holds is Holds.MARK:
            return f"{struct.unpack('=I', value)[0]:#010x}"
        if len(value) in (4, 16):
            return address(value)
        return f"{address(value[:-4])} . {int.from_bytes(value[-4:-2], 'big')}"
    verdict = attributes.parse(data[kernel.NFTA_DATA_VERDICT])
    code = int.from_bytes(verdict[kernel.NFTA_VERDICT_CODE], "big", signed=True)
    words = {v.value: v.name.lower() for v in kernel.Verdict}
    word = words.get(code, f"verdict {code}")
    chain = verdict.get(kernel.NFTA_VERDICT_CHAIN)
    return word if chain is None else f"{word} {attributes.text_of(chain)}"
