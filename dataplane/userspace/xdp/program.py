"""The XDP program: what is wanted goes to the engine, everything else goes on to the kernel.

It runs on every packet that comes in, so it decides nothing. It reads addresses and ports, and asks three questions:

1. Is the destination wanted? Frontends are.
2. Is the source wanted? Backends are: what they send may be an answer that has to be translated back.
3. Is the destination's address one that a Service could have?

and of a wanted packet, whether it claims to come from this host: then it is for the kernel to refuse.

What opens a TCP connection, or answers to that, has a socket of its own (native/xsk.c): everything with SYN.

An ICMP error is always wanted, as it may be about a packet that was translated; only the engine can tell. Nothing
else without ports is, unless it is for an address that is wanted whole.

The keys of the first two questions are those of `steering.key`: address (16 bytes, IPv4 in the first four), port,
protocol, family; the answers say in which role the endpoint is wanted. A later piece of a fragmented packet shows no
ports; for it, and for any piece in IPv6, port and protocol are 0.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from dataplane.userspace.xdp.bpf import XDP_PASS, Map
from dataplane.userspace.xdp.instructions import (
    FRAME,
    R0,
    R1,
    R2,
    R3,
    R4,
    R6,
    R7,
    R8,
    R9,
    SIZE_8,
    SIZE_16,
    SIZE_32,
    SIZE_64,
    Instruction,
    Label,
    add,
    add_number,
    and_number,
    assemble,
    call,
    jump,
    jump_equal,
    jump_greater,
    jump_less,
    jump_less_number,
    jump_not_equal,
    jump_not_equal_32,
    leave,
    load,
    load_map,
    move,
    set_number,
    shift_left,
    store,
    store_number,
)

# struct xdp_md (linux/bpf.h)
_DATA, _DATA_END, _RX_QUEUE = 0, 4, 16

# Helper functions of the kernel (linux/bpf.h)
_LOOKUP, _REDIRECT_MAP = 1, 51

# Where things are in a frame
_ETHERTYPE, _ETHERNET = 12, 14
_IPV4, _IPV6 = 0x0800, 0x86DD
_IPV4_HEADER, _IPV6_HEADER = 20, 40
_TCP, _UDP, _SCTP, _ICMP, _ICMPV6, _FRAGMENT = 6, 17, 132, 1, 58, 44
_SYN = 0x02

AS_DESTINATION, AS_SOURCE, AS_HOST = 1, 2, 4
"""What an endpoint or prefix is wanted as; or that it is an address of this host, which nobody else may send from."""

# Where things are on the stack, from its end: two keys of 20 bytes, and one of 24 for the prefixes
_DESTINATION, _SOURCE, _PREFIX = -24, -48, -72
_PORT, _PROTOCOL, _FAMILY = 16, 18, 19
_PREFIX_FAMILY, _PREFIX_ADDRESS = 4, 8
_PREFIX_BITS = 32 + 128  # family and address, whole


@dataclass(frozen=True, slots=True)
class Maps:
    """What the program of one interface asks. `endpoints` and `prefixes` are the same for all interfaces."""

    endpoints: Map  #: key of `steering.key` → bits AS_DESTINATION, AS_SOURCE
    prefixes: Map  #: key of `steering.prefix_key` → bits AS_DESTINATION (wanted whole), AS_HOST
    sockets: Map  #: twice the receive queue, plus one for what opens connections → AF_XDP socket


def steer(maps: Maps, mac: bytes, longest: int) -> bytes:
    """The program for an interface with this hardware address. Frames longer than `longest` go to the kernel."""
    return assemble(
        [
            *_begin(mac, longest),
            *_read_ipv4(),
            *_read_ipv6(),
            *_read_transport(),
            *_ask(maps),
            *_end(maps),
        ]
    )


def _begin(mac: bytes, longest: int) -> list[Instruction | Label]:
    # What is not addressed to this interface is here because somebody listens to everything: the kernel drops it.
    high, low = struct.unpack("=iH", mac)
    return [
        load(R6, SIZE_32, R1, _DATA),
        load(R7, SIZE_32, R1, _DATA_END),
        load(R9, SIZE_32, R1, _RX_QUEUE),
        shift_left(R9, 1),
        *(store_number(SIZE_64, FRAME, at, 0) for at in range(_PREFIX, 0, 8)),
        *_need(R6, _ETHERNET),
        # A frame of up to 64 KiB that no socket could take: see `Port` about offloading.
        move(R1, R6),
        add_number(R1, longest),
        jump_less(R1, R7, "pass"),
        load(R1, SIZE_32, R6, 0),
        jump_not_equal_32(R1, high, "pass"),
        load(R1, SIZE_16, R6, 4),
        jump_not_equal(R1, low, "pass"),
        load(R1, SIZE_16, R6, _ETHERTYPE),
        jump_equal(R1, socket.htons(_IPV6), "ipv6"),
        jump_not_equal(R1, socket.htons(_IPV4), "pass"),
    ]


def _is_of(family: int) -> list[Instruction | Label]:
    places = (_DESTINATION + _FAMILY, _SOURCE + _FAMILY, _PREFIX + _PREFIX_FAMILY)
    return [store_number(SIZE_8, FRAME, place, family) for place in places]


def _read_ipv4() -> list[Instruction | Label]:
    """RFC 791, 3.1. Leaves the protocol in R4, and where the transport header is in R8."""
    ip = _ETHERNET
    return [
        *_need(R6, ip + _IPV4_HEADER),
        *_is_of(4),
        *_copy(ip + 16, _DESTINATION, SIZE_32),
        *_copy(ip + 12, _SOURCE, SIZE_32),
        load(R4, SIZE_8, R6, ip + 9),
        load(R1, SIZE_16, R6, ip + 6),
        and_number(R1, socket.htons(0x1FFF)),
        jump_not_equal(R1, 0, "ask"),  # a later piece
        load(R8, SIZE_8, R6, ip),
        and_number(R8, 0x0F),
        shift_left(R8, 2),
        add(R8, R6),
        add_number(R8, ip),
        jump("transport"),
    ]


def _read_ipv6() -> list[Instruction | Label]:
    """RFC 8200, 3. With extension headers, the packet is wanted only if its addresses are wanted whole."""
    ip = _ETHERNET
    return [
        Label("ipv6"),
        *_need(R6, ip + _IPV6_HEADER),
        *_is_of(6),
        *(step for half in (0, 8) for step in _copy(ip + 24 + half, _DESTINATION + half, SIZE_64)),
        *(step for half in (0, 8) for step in _copy(ip + 8 + half, _SOURCE + half, SIZE_64)),
        load(R4, SIZE_8, R6, ip + 6),
        move(R8, R6),
        add_number(R8, ip + _IPV6_HEADER),
    ]


def _read_transport() -> list[Instruction | Label]:
    return [
        Label("transport"),
        jump_equal(R4, _FRAGMENT, "ask"),
        store(SIZE_8, FRAME, _SOURCE + _PROTOCOL, R4),
        store(SIZE_8, FRAME, _DESTINATION + _PROTOCOL, R4),
        jump_equal(R4, _TCP, "tcp"),
        jump_equal(R4, _UDP, "ports"),
        jump_equal(R4, _SCTP, "ports"),
        jump_equal(R4, _ICMP, "icmp"),
        jump_equal(R4, _ICMPV6, "icmpv6"),
        jump("ask"),
        # RFC 792: unreachable, time exceeded, parameter problem
        Label("icmp"),
        *_need(R8, 8),
        load(R1, SIZE_8, R8, 0),
        jump_equal(R1, 3, "wanted"),
        jump_equal(R1, 11, "wanted"),
        jump_equal(R1, 12, "wanted"),
        jump("ask"),
        # RFC 4443, 2.1: types below 128 are errors
        Label("icmpv6"),
        *_need(R8, 8),
        load(R1, SIZE_8, R8, 0),
        jump_less_number(R1, 128, "wanted"),
        jump("ask"),
        # RFC 9293, 3.1
        Label("tcp"),
        *_need(R8, 14),
        load(R1, SIZE_8, R8, 13),
        and_number(R1, _SYN),
        jump_equal(R1, 0, "ports"),
        add_number(R9, 1),
        Label("ports"),
        *_need(R8, 4),
        load(R1, SIZE_16, R8, 0),
        store(SIZE_16, FRAME, _SOURCE + _PORT, R1),
        load(R1, SIZE_16, R8, 2),
        store(SIZE_16, FRAME, _DESTINATION + _PORT, R1),
    ]


def _ask(maps: Maps) -> list[Instruction | Label]:
    return [
        Label("ask"),
        *_lookup(maps.endpoints, _DESTINATION, AS_DESTINATION, "ask-source"),
        Label("ask-source"),
        *_lookup(maps.endpoints, _SOURCE, AS_SOURCE, "ask-prefix"),
        Label("ask-prefix"),
        *_prefix_of(_DESTINATION),
        *_lookup(maps.prefixes, _PREFIX, AS_DESTINATION, "pass"),
        jump("pass"),
    ]


def _prefix_of(key: int) -> list[Instruction | Label]:
    """Look for the prefixes that one of the addresses is in."""
    copied = (
        step
        for half in (0, 8)
        for step in (load(R1, SIZE_64, FRAME, key + half), store(SIZE_64, FRAME, _PREFIX + _PREFIX_ADDRESS + half, R1))
    )
    return [store_number(SIZE_32, FRAME, _PREFIX, _PREFIX_BITS), *copied]


def _end(maps: Maps) -> list[Instruction | Label]:
    return [
        Label("wanted"),
        # Nobody else sends from this host's addresses: Linux knows what to do with such packets.
        *_prefix_of(_SOURCE),
        *_lookup(maps.prefixes, _PREFIX, AS_HOST, "redirect", found="pass"),
        # If no socket is there (yet), the answer is XDP_PASS too.
        Label("redirect"),
        load_map(R1, maps.sockets.fileno()),
        move(R2, R9),
        set_number(R3, XDP_PASS),
        call(_REDIRECT_MAP),
        leave(),
        Label("pass"),
        set_number(R0, XDP_PASS),
        leave(),
    ]


def _need(base: int, length: int) -> list[Instruction | Label]:
    """Pass if there are not so many bytes from `base` on; the verifier insists on being told that there are."""
    return [move(R1, base), add_number(R1, length), jump_greater(R1, R7, "pass")]


def _copy(offset: int, place: int, size: int) -> list[Instruction | Label]:
    return [load(R1, size, R6, offset), store(size, FRAME, place, R1)]


def _lookup(where: Map, key: int, role: int, otherwise: str, found: str = "wanted") -> list[Instruction | Label]:
    """Jump to `found` if there is an entry with this role, and to `otherwise` if there is none."""
    return [
        load_map(R1, where.fileno()),
        move(R2, FRAME),
        add_number(R2, key),
        call(_LOOKUP),
        jump_equal(R0, 0, otherwise),
        load(R1, SIZE_32, R0, 0),
        and_number(R1, role),
        jump_not_equal(R1, 0, found),
    ]
