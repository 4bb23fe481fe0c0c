"""Forgetting flows that go where they no longer should.

A flow keeps the translation it began with for as long as packets come. TCP connections end by themselves, and may
go on to a terminating backend; a UDP client that keeps sending from one port would never meet the new rules. So
after a change, flows of the changed frontends are deleted unless they go to an endpoint that still serves. Which
frontends that concerns the table says: those whose `Frontend.serving` is not None. What an agent before this one has
programmed counts as what was.
"""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from dataplane.changes import Changes
from dataplane.lookup import Lookup
from dataplane.netlink.channel import Channel, NetlinkError
from dataplane.netlink.conntrack import DELETE, Status, entries
from dataplane.table import Endpoint, Family, Forward, ForwardingTable, Frontend, FrontendKey, Protocol


@dataclass(frozen=True, slots=True)
class Flow:
    """One entry of the conntrack table: whom the client wrote to, and who answers."""

    protocol: Protocol
    destination: Endpoint
    answers: Endpoint
    translated: bool  #: its destination was
    delete: bytes  #: the message body that deletes it


class Cleaning(NamedTuple):
    """What `FlowCleaner.try_to_clean` did."""

    deleted: Mapping[Family, int] = MappingProxyType({})
    seconds: float | None = None  #: None: there was nothing to look for
    unfinished: str = ""  #: what stays pending, and why, in one line; "" if nothing does


class FlowCleaner:
    """Remembers which frontends changed until their flows have been looked at.

    After every successful apply: `note` what changed, then `clean`, or `try_to_clean`. If cleaning fails the
    frontends stay in `pending`, and the next time they are tried again.
    """

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._pending: set[FrontendKey] = set()
        self._former_addresses: frozenset[str] = frozenset()
        self._addresses_came = False

    @property
    def pending(self) -> frozenset[FrontendKey]:
        """The frontends that may still have flows to forget."""
        return frozenset(self._pending)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def note_former(self, keys: Iterable[FrontendKey]) -> None:
        """These an agent before this one has programmed. Some may be gone; if flows go on there, they must not."""
        self._pending.update(keys)

    def note(self, changes: Changes) -> None:
        """Add the frontends of which flows may have to go: new, removed, or no longer served by somebody.

        And those where a client was refused and is not now: what it sent meanwhile, some rules let begin a flow that
        leads nowhere.

        NodePorts answered on the node addresses of before, so their flows are looked for there too; and on new
        ones they may have flows from the time when they did not answer there.
        """
        gone, come = changes.node_addresses
        self._former_addresses |= gone
        self._addresses_came = self._addresses_came or bool(come)
        for key, (old, new) in changes.frontends.items():
            if _may_strand(old, new):
                self._pending.add(key)

    def clean(self, table: ForwardingTable) -> Counter[Family]:
        """Delete the flows of pending frontends that are not as in `table`, and return how many of each family.

        Raises OSError; then everything stays pending. What is deleted already needs no second time.
        """
        if self._addresses_came:
            self._pending |= {k for k, f in table.frontends.items() if k.is_node_port and f.serving is not None}
        if not self._pending:
            self._forget_addresses()
            return Counter()
        if self._channel is None:
            self._channel = Channel()
        judge = _Judge(table, self._pending, self._former_addresses)
        deleted: Counter[Family] = Counter()
        for family, protocol in sorted({(key.family, key.protocol) for key in self._pending}):
            stale = [flow.delete for flow in flows(self._channel, family, protocol) if judge.is_stale(flow)]
            refusals = self._channel.requests(DELETE, stale)
            for refusal in refusals:
                if refusal.code != errno.ENOENT:  # it ended by itself in the meantime
                    raise NetlinkError([refusal])
            deleted[family] += len(stale) - len(refusals)
        self._pending.clear()
        self._forget_addresses()
        return deleted

    def _forget_addresses(self) -> None:
        self._former_addresses, self._addresses_came = frozenset(), False

    def try_to_clean(self, table: ForwardingTable) -> Cleaning:
        """As `clean`, but nothing is raised."""
        began, unfinished, deleted = time.monotonic(), "", Counter[Family]()
        if not self._pending and not self._addresses_came:
            self._forget_addresses()
            return Cleaning()
        try:
            deleted = self.clean(table)
        except OSError as error:
            first, *more = sorted(map(str, self._pending))
            others = f" and {len(more)} more" if more else ""
            reason = error.strerror or error
            unfinished = f"conntrack: the old flows of {first}{others} cannot be forgotten yet: {reason}"
        return Cleaning(deleted, time.monotonic() - began, unfinished)


def _may_strand(old: Frontend | None, new: Frontend | None) -> bool:
    """Whether flows may go on where nobody serves the frontend after this change."""
    if new is None:
        return old is not None and old.serving is not None
    if new.serving is None:
        return False
    if old is None or old.serving is None or old.serving - new.serving:
        return True
    return any(
        isinstance(now, Forward) and not isinstance(before, Forward)
        for before, now in zip(old.verdicts, new.verdicts, strict=True)
    )


class _Judge:
    """Which flows have to go."""

    def __init__(self, table: ForwardingTable, pending: set[FrontendKey], former_addresses: frozenset[str]) -> None:
        self._frontends = table.frontends
        self._pending = pending
        self._lookup = Lookup(table, former_addresses)

    def is_stale(self, flow: Flow) -> bool:
        if self._pending.isdisjoint(self._lookup.keys(flow.destination, flow.protocol)):
            return False
        frontend = self._lookup.frontend(flow.destination, flow.protocol)
        if frontend is None:
            return flow.translated  # what was never ours may be somebody's who listens there
        return not frontend.keeps(flow.answers)


def flows(channel: Channel, family: Family, protocol: Protocol = Protocol.UDP) -> Iterator[Flow]:
    """Such flows of the conntrack table."""
    for entry in entries(channel, family, protocol):
        asked, answers = entry.original.destination, entry.reply.source
        # IPVS translates without saying so in the status.
        translated = Status.DST_NAT in entry.status or asked != answers
        yield Flow(protocol, asked, answers, translated, entry.deletion)
