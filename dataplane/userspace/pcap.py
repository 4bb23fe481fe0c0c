"""Captured packets in files: the classic pcap format, as `tcpdump -w` writes it.

A file is a header of 24 bytes and records of 16 bytes and a packet each. The first four bytes tell the byte order of
all the others, and whether times are in micro- or nanoseconds (draft-ietf-opsawg-pcap, section 4).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from dataplane.errors import InputError
from dataplane.userspace.batch import Link

MOST_BYTES = 262_144
"""No packet in a file is longer; tcpdump's own limit."""

_MICROSECONDS, _NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D
_PCAPNG = 0x0A0D0D0A
_ETHERNET, _RAW, _IPV4, _IPV6 = 1, 101, 228, 229  # LINKTYPE_...
# What Linux writes for the interface `any`: LINUX_SLL and LINUX_SLL2 of the registry of link types.
_COOKED = (113, 276)
# Beside the link type: how many words of 16 bits the link's own checksum has, if that is behind each packet.
_FCS_PRESENT, _FCS_WORDS, _FCS_SHIFT = 0x0400_0000, 0xF000_0000, 28
_LINKS = {_ETHERNET: Link.ETHERNET, _RAW: Link.IP, _IPV4: Link.IP, _IPV6: Link.IP}


@dataclass(frozen=True, slots=True)
class Captured:
    """One packet, and when it was captured, in nanoseconds since 1970."""

    nanoseconds: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """A file's packets, and what the first byte of each belongs to."""

    link: Link
    packets: tuple[Captured, ...]


def read(file: BinaryIO, name: str) -> Capture:
    """The whole file. InputError if it is none, of another link type, or damaged; `name` is for the message."""
    header = file.read(24)
    for order in "<", ">":
        if len(header) == 24 and struct.unpack(f"{order}I", header[:4])[0] in (_MICROSECONDS, _NANOSECONDS):
            break
    else:
        found = "a pcapng file" if header[:4] == _PCAPNG.to_bytes(4, "big") else "something else"
        raise InputError(f"{name}: expected a pcap file, found {found} (`tcpdump -r FILE -w NEW` writes pcap)")
    magic, _, _, _, _, _, network = struct.unpack(f"{order}IHHiIII", header)
    link = network & ~(_FCS_PRESENT | _FCS_WORDS)
    if link not in _LINKS:
        hint = " (capture on one interface, not on `any`)" if link in _COOKED else ""
        raise InputError(f"{name}: expected packets of Ethernet or IP, found link type {link}{hint}")
    check = (network & _FCS_WORDS) >> _FCS_SHIFT if network & _FCS_PRESENT else 0
    unit = 1 if magic == _NANOSECONDS else 1000
    return Capture(_LINKS[link], tuple(_records(file, name, order, unit, 2 * check)))


def _records(file: BinaryIO, name: str, order: str, unit: int, check: int) -> Iterator[Captured]:
    """`check`: bytes of a checksum of the link behind each packet, which are left out."""
    number = 0
    while header := file.read(16):
        number += 1
        if len(header) < 16:
            raise InputError(f"{name}: packet {number}: the file ends in the middle of it")
        seconds, fraction, length, original = struct.unpack(f"{order}IIII", header)
        if fraction * unit >= 1_000_000_000:
            raise InputError(f"{name}: packet {number}: expected a time within its second, found {fraction * unit} ns")
        if length > MOST_BYTES:
            raise InputError(f"{name}: packet {number}: expected at most {MOST_BYTES} bytes, found {length}")
        data = file.read(length)
        if len(data) < length:
            raise InputError(f"{name}: packet {number}: the file ends in the middle of it")
        yield Captured(seconds * 1_000_000_000 + fraction * unit, data[: max(original - check, 0)])


def write(file: BinaryIO, link: Link, packets: Iterable[Captured]) -> None:
    """A file with times in nanoseconds."""
    network = _ETHERNET if link is Link.ETHERNET else _RAW
    file.write(struct.pack("<IHHiIII", _NANOSECONDS, 2, 4, 0, 0, MOST_BYTES, network))
    for packet in packets:
        seconds, fraction = divmod(packet.nanoseconds, 1_000_000_000)
        file.write(struct.pack("<IIII", seconds, fraction, len(packet.data), len(packet.data)))
        file.write(packet.data)
