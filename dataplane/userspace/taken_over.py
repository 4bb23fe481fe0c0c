"""Connections that the kernel translates, as an engine's flows: those of another mode that ran here before.

What the connection table knows of a TCP connection or a UDP flow of a Service is enough to go on with it: whom the
client wrote to, who answers, and whom the backend sees. Left out is what has not come as far as an answer, what is
over, and what goes to a backend that the table has no more.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dataplane.netlink import attributes, messages
from dataplane.netlink.attributes import number_of
from dataplane.netlink.channel import Channel
from dataplane.reference import find_frontend
from dataplane.table import Endpoint, Family, ForwardingTable, Frontend, Protocol
from dataplane.userspace.image import Host
from dataplane.userspace.saved import Saved, SavedFlow
from dataplane.userspace.steering import endpoints
from native.library import lib

_GET = 0x101  # IPCTNL_MSG_CT_GET in the ctnetlink subsystem
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _PROTOINFO, _TIMEOUT = 1, 2, 3, 4, 7  # CTA_
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_SOURCE = {Family.IPV4: 1, Family.IPV6: 3}  # CTA_IP_V4_SRC, _V6_SRC; the destination is one more
_PROTO_NUM, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_PROTOINFO_TCP, _TCP_STATE = 1, 1
_SEEN_REPLY = 1 << 1  # IPS_SEEN_REPLY
_NUMBERS = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}

_OPEN = int(lib.TRACKING_REPLIED | lib.TRACKING_ACKNOWLEDGED)
_EVENTS = {  # by enum tcp_conntrack; whose FIN came first is not told, and decides nothing here
    3: _OPEN,  # established
    4: _OPEN | int(lib.TRACKING_FIN_ORIGINAL),  # FIN_WAIT
    5: _OPEN | int(lib.TRACKING_FIN_ORIGINAL),  # CLOSE_WAIT
}


class Entry(NamedTuple):
    """One entry of the connection table: both tuples as packets have them, from their sources."""

    protocol: Protocol
    client: Endpoint
    asked: Endpoint
    answers: Endpoint
    seen_as: Endpoint
    events: int
    seconds: int  #: until it is forgotten


def connections(table: ForwardingTable, host: Host) -> Saved:
    """Those of this table's frontends, from the calling thread's network namespace. OSError if they cannot be read."""
    with Channel() as channel:
        entries = [entry for family in Family for entry in _entries(channel, family)]
    flows = (_flow(e, find_frontend(table, e.asked, e.protocol, host.addresses)) for e in entries)
    return Saved(tuple(flow for flow in flows if flow is not None), ())


def _flow(entry: Entry, frontend: Frontend | None) -> SavedFlow | None:
    if frontend is None or entry.answers not in endpoints(frontend):
        return None
    return SavedFlow(
        entry.protocol,
        entry.client,
        entry.asked,
        entry.answers,
        entry.seen_as,
        frontend.service,
        1000 * entry.seconds,
        (0, 0),
        entry.events,
        node_port=frontend.key.is_node_port,
        masquerade=entry.seen_as != entry.client,
        hairpin=entry.client.address == entry.answers.address,
        can_end=frontend.serving is not None,
    )


def _entries(channel: Channel, family: Family) -> Iterator[Entry]:
    protocols = {protocol.number: protocol for protocol in (Protocol.TCP, Protocol.UDP)}
    for body in channel.dump(_GET, messages.netfilter_body(_NUMBERS[family], b"")):
        entry = attributes.parse(messages.netfilter_attributes(body))
        original, reply = (attributes.parse(entry[which]) for which in (_TUPLE_ORIG, _TUPLE_REPLY))
        protocol = protocols.get(bytes(attributes.parse(original[_TUPLE_PROTO])[_PROTO_NUM])[0])
        events = _events(protocol, entry) if protocol else None
        if protocol is None or events is None or not number_of(entry.get(_TIMEOUT, b"\0")):
            continue
        ends = (*_ends(family, original), *_ends(family, reply))
        yield Entry(protocol, *ends, events, number_of(entry[_TIMEOUT]))


def _events(protocol: Protocol, entry: Mapping[int, memoryview]) -> int | None:
    """What an engine would have seen of it (native/tracking.h); None if it is nothing to go on with."""
    if not number_of(entry[_STATUS]) & _SEEN_REPLY:
        return None
    if protocol is Protocol.UDP:
        return int(lib.TRACKING_REPLIED)
    try:
        state = attributes.parse(attributes.parse(entry[_PROTOINFO])[_PROTOINFO_TCP])[_TCP_STATE]
    except KeyError:
        return None
    return _EVENTS.get(state[0])


def _ends(family: Family, packed: Mapping[int, memoryview]) -> tuple[Endpoint, Endpoint]:
    """Source and destination of a tuple."""
    addresses, ports = attributes.parse(packed[_TUPLE_IP]), attributes.parse(packed[_TUPLE_PROTO])
    places = ((_SOURCE[family], _SOURCE_PORT), (_SOURCE[family] + 1, _DESTINATION_PORT))
    source, destination = (
        Endpoint(socket.inet_ntop(_NUMBERS[family], addresses[address]), number_of(ports[port]))
        for address, port in places
    )
    return source, destination
