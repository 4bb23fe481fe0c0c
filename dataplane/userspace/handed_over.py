"""An engine's flows as entries of the kernel's connection table, for a mode that leaves translation to the kernel.

The other way of `taken_over`. No engine may run any more, so flows are as its file has them, and do not change; and no
packet of theirs has been tracked for as long as it ran. So the order of a change is: the new mode's rules, the end of
the engine, these entries, and the end of the rules that took packets to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from dataplane.netlink.channel import Channel
from dataplane.netlink.conntrack import Status, TcpState, Translation, insert
from dataplane.table import ForwardingTable, Protocol
from dataplane.userspace.saved import SavedFlow
from native.library import lib


class HandedOver(NamedTuple):
    """How many flows the kernel goes on with, and why not with the others: one line, "" if there are none."""

    kept: int
    refused: str


def hand_over(flows: Iterable[SavedFlow], table: ForwardingTable) -> HandedOver:
    """Have the kernel go on with these, in the calling thread's network namespace, as far as the table lets them.

    OSError if nothing can be said to the kernel. Not handed over is SCTP: the kernel wants to know an association's
    verification tags, which no engine remembers.
    """
    wanted = [_translation(f) for f in flows if f.protocol is not Protocol.SCTP and _goes_on(f, table)]
    with Channel() as channel:
        refused = insert(channel, wanted)
    if not refused:
        return HandedOver(len(wanted), "")
    first, refusal = refused[0]
    why = f"{first.protocol} {first.client} → {first.asked}: {refusal}"
    return HandedOver(len(wanted) - len(refused), f"{len(refused)} of {len(wanted)} were refused, the first: {why}")


def _goes_on(flow: SavedFlow, table: ForwardingTable) -> bool:
    if not flow.can_end:
        return True
    frontend = table.frontends.get(flow.frontend)
    return frontend is not None and frontend.keeps(flow.backend)


def _translation(flow: SavedFlow) -> Translation:
    events, protocol = flow.events, flow.protocol
    status = Status(0)
    if events & lib.TRACKING_REPLIED:
        status |= Status.SEEN_REPLY
    if lib.tracking_is_assured(events, protocol.number):
        status |= Status.ASSURED
    state = _tcp_state(events) if protocol is Protocol.TCP else None
    seconds = max(1, math.ceil(flow.milliseconds / 1000))
    return Translation(protocol, flow.client, flow.service, flow.backend, flow.seen_as, status, state, seconds)


def _tcp_state(events: int) -> TcpState:
    """What the kernel would think after that much (nf_conntrack_proto_tcp.c)."""
    both = lib.TRACKING_FIN_ORIGINAL | lib.TRACKING_FIN_REPLY
    if events & lib.TRACKING_RESET:
        return TcpState.CLOSE
    if events & both:
        return TcpState.TIME_WAIT if events & both == both else TcpState.FIN_WAIT
    if events & lib.TRACKING_ACKNOWLEDGED:
        return TcpState.ESTABLISHED
    return TcpState.SYN_RECV if events & lib.TRACKING_REPLIED else TcpState.SYN_SENT
