"""Entries of the kernel's connection table, as ctnetlink lists, takes and deletes them.

An entry has two tuples, the addresses and ports that packets of either direction show when they arrive: the original
one is what the client wrote; in the reply, the source is who answers, and the destination whom they see. Numbers are
those of linux/netfilter/nfnetlink_conntrack.h, nf_conntrack_common.h and nf_conntrack_tcp.h.
"""

from __future__ import annotations

import enum
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dataplane.netlink import attributes, messages
from dataplane.netlink.attributes import attribute, nested, number, number_of
from dataplane.netlink.channel import Channel, Refusal
from dataplane.table import Endpoint, Family, Protocol

NEW, GET, DELETE = 0x100, 0x101, 0x102  #: IPCTNL_MSG_CT_ in the subsystem of ctnetlink
GROUP_DESTROY = 3  #: the multicast group that tells of ends: NFNLGRP_CONNTRACK_DESTROY
FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}

_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _PROTOINFO = 1, 2, 3, 4  # CTA_
_NAT_SRC, _TIMEOUT, _ID, _NAT_DST, _ZONE, _FILTER, _STATUS_MASK = 6, 7, 12, 13, 18, 25, 26
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_SOURCE_ADDRESS = {Family.IPV4: 1, Family.IPV6: 3}  # CTA_IP_V4_SRC, _V6_SRC; the destination is one more
_PROTO_NUM, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_PROTOINFO_TCP = 1
_TCP_STATE, _TCP_FLAGS_ORIGINAL, _TCP_FLAGS_REPLY = 1, 4, 5
_NAT_MINIP = {Family.IPV4: 1, Family.IPV6: 4}  # CTA_NAT_V4_MINIP, _V6_MINIP; the greatest is one more
_NAT_PROTO, _NAT_PORT_MIN, _NAT_PORT_MAX = 3, 1, 2
_FILTER_ORIG_FLAGS = 1
_FILTER_PROTO_NUM = 1 << 3
_TCP_LIBERAL = bytes([1 << 3, 1 << 3])  # IP_CT_TCP_FLAG_BE_LIBERAL, and that it is this one that is told


class Status(enum.IntFlag):
    """What the kernel says of an entry (IPS_)."""

    SEEN_REPLY = 1 << 1
    ASSURED = 1 << 2
    CONFIRMED = 1 << 3
    DST_NAT = 1 << 5  #: the destination is translated; by NAT, since IPVS does not say so


class TcpState(enum.IntEnum):
    """How far the kernel thinks a TCP connection has come (enum tcp_conntrack)."""

    NONE = 0
    SYN_SENT = 1
    SYN_RECV = 2
    ESTABLISHED = 3
    FIN_WAIT = 4
    CLOSE_WAIT = 5
    LAST_ACK = 6
    TIME_WAIT = 7
    CLOSE = 8
    SYN_SENT2 = 9


class Tuple:
    """What packets of one direction show. Decoded as it is asked for: lists are long."""

    __slots__ = ("_addresses", "_family", "_protocol")

    def __init__(self, family: Family, packed: memoryview) -> None:
        parts = attributes.parse(packed)
        self._family = family
        self._addresses, self._protocol = attributes.parse(parts[_TUPLE_IP]), attributes.parse(parts[_TUPLE_PROTO])

    @property
    def protocol(self) -> int:
        """The IP protocol's number."""
        return number_of(self._protocol[_PROTO_NUM])

    @property
    def source(self) -> Endpoint:
        """KeyError if the protocol has no ports."""
        return self._end(_SOURCE_ADDRESS[self._family], _SOURCE_PORT)

    @property
    def destination(self) -> Endpoint:
        """Likewise."""
        return self._end(_SOURCE_ADDRESS[self._family] + 1, _DESTINATION_PORT)

    def _end(self, address: int, port: int) -> Endpoint:
        text = socket.inet_ntop(FAMILIES[self._family], self._addresses[address])
        return Endpoint(text, number_of(self._protocol[port]))


class Entry:
    """An entry as it was listed."""

    __slots__ = ("_family", "_parts", "original")

    def __init__(self, family: Family, body: memoryview) -> None:
        self._family = family
        self._parts = attributes.parse(messages.netfilter_attributes(body))
        self.original = Tuple(family, self._parts[_TUPLE_ORIG])

    @property
    def reply(self) -> Tuple:
        return Tuple(self._family, self._parts[_TUPLE_REPLY])

    @property
    def status(self) -> Status:
        return Status(number_of(self._parts[_STATUS]))

    @property
    def seconds(self) -> int:
        """Until it is forgotten; 0 of one that is just being."""
        return number_of(self._parts.get(_TIMEOUT, b"\0"))

    @property
    def tcp_state(self) -> TcpState | None:
        """None if it is not TCP, or just ends."""
        state = self._tcp().get(_TCP_STATE)
        return TcpState(number_of(state)) if state is not None else None

    @property
    def is_liberal(self) -> bool:
        """Whether TCP packets of both directions may lie outside of what the kernel takes for the window."""
        tcp = self._tcp()
        flags = (tcp.get(kind, b"\0") for kind in (_TCP_FLAGS_ORIGINAL, _TCP_FLAGS_REPLY))
        return all(each[0] & _TCP_LIBERAL[0] for each in flags)

    def _tcp(self) -> dict[int, memoryview]:
        protocol = attributes.parse(self._parts.get(_PROTOINFO, b""))
        return attributes.parse(protocol.get(_PROTOINFO_TCP, b""))

    @property
    def deletion(self) -> bytes:
        """What deletes it: by tuple, zone and id, so never another that has come in its place."""
        parts = attribute(_TUPLE_ORIG | attributes.NESTED, bytes(self._parts[_TUPLE_ORIG]))
        for kind in (_ZONE, _ID):
            if kind in self._parts:
                parts += attribute(kind, bytes(self._parts[kind]))
        return messages.netfilter_body(FAMILIES[self._family], parts)


def entries(channel: Channel, family: Family, protocol: Protocol) -> Iterator[Entry]:
    """Those of a family and protocol. Linux before 5.8 lists all protocols, so they are looked at here too."""
    wanted = nested(_TUPLE_ORIG, nested(_TUPLE_PROTO, attribute(_PROTO_NUM, bytes([protocol.number])))) + nested(
        _FILTER, attribute(_FILTER_ORIG_FLAGS, _FILTER_PROTO_NUM.to_bytes(4, sys.byteorder))
    )
    for body in channel.dump(GET, messages.netfilter_body(FAMILIES[family], wanted)):
        entry = Entry(family, body)
        if entry.original.protocol == protocol.number:
            yield entry


def list_of_all(sequence: int, *, only_translated: bool) -> bytes:
    """The message that asks for all entries of both families, or only for those whose destination NAT translates."""
    mask = number(_STATUS, Status.DST_NAT) + number(_STATUS_MASK, Status.DST_NAT) if only_translated else b""
    body = messages.netfilter_body(socket.AF_UNSPEC, mask)
    return messages.message(GET, messages.REQUEST | messages.DUMP, sequence, body)


class Translation(NamedTuple):
    """A connection that the kernel is to go on with: `asked` becomes `answers`, and `client` becomes `seen_as`.

    `tcp_state` is None unless it is TCP. `status` says how much was seen of it.
    """

    protocol: Protocol
    client: Endpoint
    asked: Endpoint
    answers: Endpoint
    seen_as: Endpoint
    status: Status
    tcp_state: TcpState | None
    seconds: int  #: until it is forgotten if nothing comes; at least 1


def insert(channel: Channel, wanted: Sequence[Translation]) -> list[tuple[Translation, Refusal]]:
    """Have the kernel know these. What it knew of the same clients' connections there is replaced.

    Each stands for itself: returns those that were refused. OSError if nothing can be said to the kernel.
    """
    channel.requests(DELETE, [_deletion(each) for each in wanted])  # most are not there, and that is fine
    refusals = channel.requests(NEW, [_creation(each) for each in wanted], messages.CREATE | messages.EXCLUSIVE)
    return [(wanted[refusal.sequence], refusal) for refusal in refusals]


def _deletion(of: Translation) -> bytes:
    family = Family.of(of.client.address)
    return messages.netfilter_body(FAMILIES[family], _tuple(_TUPLE_ORIG, family, of.protocol, of.client, of.asked))


def _creation(of: Translation) -> bytes:
    """The kernel makes the reply's tuple itself, of the one that is given and what it is to translate: only so it takes
    the entry for one of NAT. It would be free to choose where it is told nothing, so it is told that things stay too.

    It has not seen the windows of a TCP connection, and must not mind packets outside of them.
    """
    family = Family.of(of.client.address)
    parts = _tuple(_TUPLE_ORIG, family, of.protocol, of.client, of.asked)
    parts += _tuple(_TUPLE_REPLY, family, of.protocol, of.asked, of.client)
    parts += _exactly(_NAT_DST, family, of.answers) + _exactly(_NAT_SRC, family, of.seen_as)
    # An entry that is listed is confirmed; the kernel refuses to be told otherwise.
    parts += number(_STATUS, of.status | Status.CONFIRMED) + number(_TIMEOUT, of.seconds)
    if of.tcp_state is not None:
        liberal = (attribute(kind, _TCP_LIBERAL) for kind in (_TCP_FLAGS_ORIGINAL, _TCP_FLAGS_REPLY))
        state = attribute(_TCP_STATE, bytes([of.tcp_state]))
        parts += nested(_PROTOINFO, nested(_PROTOINFO_TCP, state, *liberal))
    return messages.netfilter_body(FAMILIES[family], parts)


def _tuple(kind: int, family: Family, protocol: Protocol, source: Endpoint, destination: Endpoint) -> bytes:
    first = _SOURCE_ADDRESS[family]
    addresses = (attribute(first + i, _packed(family, end)) for i, end in enumerate((source, destination)))
    ports = (attribute(_SOURCE_PORT + i, end.port.to_bytes(2, "big")) for i, end in enumerate((source, destination)))
    transport = nested(_TUPLE_PROTO, attribute(_PROTO_NUM, bytes([protocol.number])), *ports)
    return nested(kind, nested(_TUPLE_IP, *addresses), transport)


def _exactly(kind: int, family: Family, end: Endpoint) -> bytes:
    """A range of addresses and ports in which there is but one."""
    first, port = _NAT_MINIP[family], end.port.to_bytes(2, "big")
    addresses = (attribute(first + i, _packed(family, end)) for i in range(2))
    ports = (attribute(bound, port) for bound in (_NAT_PORT_MIN, _NAT_PORT_MAX))
    return nested(kind, *addresses, nested(_NAT_PROTO, *ports))


def _packed(family: Family, end: Endpoint) -> bytes:
    return socket.inet_pton(FAMILIES[family], end.address)
