"""Noticing that somebody else writes to our tables, without listing them.

The kernel announces every change of the ruleset to a multicast group, with the port of the socket that asked for
it. Our own large transactions would flood the group, so it is left while we write; what happens in that time is
noticed because every commit, and nothing else, moves the generation number by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dataplane.netlink import attributes, messages
from dataplane.netlink.attributes import text_of
from dataplane.netlink.channel import Channel
from dataplane.nftables import dump, kernel
from dataplane.nftables.kernel import Message
from dataplane.nftables.layer3 import IPV4, IPV6
from dataplane.nftables.objects import TABLE

_OURS = (IPV4.number, IPV6.number)
_TABLE_NAME = 1  # in every nftables message about something in a table, and about the table itself


class Watch:
    """Watches from the moment it is made, except for what is done inside `writing`."""

    def __init__(self) -> None:
        self._channel = Channel()
        self._asking = Channel()  # apart: answers must not be looked for among notifications
        self._channel.join(kernel.NFNLGRP_NFTABLES)
        self._tampered = False
        self._commits = 0

    def close(self) -> None:
        self._channel.close()
        self._asking.close()

    def fileno(self) -> int:
        """Readable when any nftables ruleset of this namespace changed; then ask `tampered`."""
        return self._channel.fileno()

    def tampered(self) -> bool:
        """Somebody else may have changed our tables since the last `reset`."""
        found, lost = self._channel.notifications()
        self._tampered |= lost or any(_concerns_us(m) for m in found)
        return self._tampered

    def reset(self) -> None:
        """What happened so far is known."""
        self._channel.notifications()
        self._tampered = False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Changes made inside are ours, if `committed` says how many transactions there were."""
        self._channel.leave(kernel.NFNLGRP_NFTABLES)
        before = dump.generation(self._asking)
        self.tampered()  # what came until we left
        self._commits = 0
        try:
            yield
        finally:
            self._channel.join(kernel.NFNLGRP_NFTABLES)
            expected = (before + self._commits) & 0xFFFFFFFF
            self._tampered |= dump.generation(self._asking) != expected

    def committed(self, transactions: int = 1) -> None:
        self._commits += transactions


def _concerns_us(message: messages.Message) -> bool:
    if message.kind == Message.NEWGEN or message.body[0] not in _OURS:
        return False
    about = attributes.parse(messages.netfilter_attributes(message.body))
    return text_of(about.get(_TABLE_NAME, b"")) == TABLE
