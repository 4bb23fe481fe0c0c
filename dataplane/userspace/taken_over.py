"""Connections that the kernel translates, as an engine's flows: those of another mode that ran here before.

What the connection table knows of a TCP connection or a UDP flow of a Service is enough to go on with it: whom the
client wrote to, who answers, and whom the backend sees. Left out is what has not come as far as an answer, what is
over, and what goes to a backend that the table has no more.
"""

from __future__ import annotations

from collections.abc import Iterator

from dataplane.netlink.channel import Channel
from dataplane.netlink.conntrack import Entry, Status, TcpState, entries
from dataplane.reference import find_frontend
from dataplane.table import Family, ForwardingTable, Protocol
from dataplane.userspace.image import Host
from dataplane.userspace.saved import Saved, SavedFlow
from native.library import lib

_OPEN = int(lib.TRACKING_REPLIED | lib.TRACKING_ACKNOWLEDGED)
_EVENTS = {  # whose FIN came first is not told, and decides nothing here
    TcpState.ESTABLISHED: _OPEN,
    TcpState.FIN_WAIT: _OPEN | int(lib.TRACKING_FIN_ORIGINAL),
    TcpState.CLOSE_WAIT: _OPEN | int(lib.TRACKING_FIN_ORIGINAL),
}


def connections(table: ForwardingTable, host: Host) -> Saved:
    """Those of this table's frontends, from the calling thread's network namespace. OSError if they cannot be read."""
    with Channel() as channel:
        return Saved(tuple(_flows(channel, table, host)), ())


def _flows(channel: Channel, table: ForwardingTable, host: Host) -> Iterator[SavedFlow]:
    for protocol in (Protocol.TCP, Protocol.UDP):
        for family in Family:
            for entry in entries(channel, family, protocol):
                flow = _flow(protocol, entry, table, host)
                if flow is not None:
                    yield flow


def _flow(protocol: Protocol, entry: Entry, table: ForwardingTable, host: Host) -> SavedFlow | None:
    """None if it is nothing to go on with, or nobody's here."""
    events = _events(protocol, entry)
    if events is None or not entry.seconds:
        return None
    original, reply = entry.original, entry.reply
    client, asked, answers, seen_as = original.source, original.destination, reply.source, reply.destination
    frontend = find_frontend(table, asked, protocol, host.addresses)
    if frontend is None or answers not in frontend.answering:
        return None
    return SavedFlow(
        protocol,
        client,
        asked,
        answers,
        seen_as,
        frontend.service,
        1000 * entry.seconds,
        (0, 0),
        events,
        node_port=frontend.key.is_node_port,
        masquerade=seen_as != client,
        hairpin=client.address == answers.address,
        can_end=frontend.serving is not None,
    )


def _events(protocol: Protocol, entry: Entry) -> int | None:
    """What an engine would have seen of it (native/tracking.h); None if that is too little, or all."""
    if Status.SEEN_REPLY not in entry.status:
        return None
    if protocol is Protocol.UDP:
        return int(lib.TRACKING_REPLIED)
    state = entry.tcp_state
    return _EVENTS.get(state) if state is not None else None
