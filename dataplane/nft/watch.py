"""Noticing that somebody else writes to our tables, without listing them.

Every committed transaction moves the generation number of the namespace's ruleset by one. As long as only our own
do, nothing can have happened. When it moves by itself we cannot know what was written, so that counts as tampering;
but from then on we listen to the multicast group in which the kernel announces every change, to tell strangers'
tables from ours. After a quiet time we stop listening.

We do not listen all the time, because it is not free: as soon as one process on the machine listens, in whatever
namespace, the kernel makes a message for each element that anybody writes. With 100,000 elements an apply takes
three times as long. For the same reason we never listen while we write ourselves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from dataplane.netlink import attributes, messages
from dataplane.netlink.attributes import text_of
from dataplane.netlink.channel import Channel
from dataplane.nft import dump, kernel
from dataplane.nft.kernel import Message
from dataplane.nft.layer3 import Layer3

_log = logging.getLogger(__name__)

_TABLE_NAME = 1  # in every nftables message about something in a table, and about the table itself

#: Calls of `tampered` without anybody's transaction until we stop listening: ten minutes, if asked every second.
QUIET_CALLS = 600


class Watch:
    """Watches these tables from the moment it is made. What is written inside `writing` is our own."""

    def __init__(self, *layers: Layer3) -> None:
        self._tables = {(layer.number, layer.table) for layer in layers}
        self._asking = Channel()
        self._listening = Channel()  # apart: answers must not be looked for among announcements
        self._joined = False
        self._quiet = 0
        self._tampered = False
        self._generation = dump.generation(self._asking)  # the last one of which we know all
        self._commits = 0

    def close(self) -> None:
        self._asking.close()
        self._listening.close()

    def tampered(self) -> bool:
        """Somebody else may have changed our tables since the last `reset`."""
        if self._joined:
            self._listen()
        elif dump.generation(self._asking) != self._generation:
            self._suspect()
        return self._tampered

    def reset(self) -> None:
        """Whatever happened so far will be looked at."""
        self._generation = dump.generation(self._asking)
        self._listening.notifications()
        self._tampered = False

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Whatever happened so far is looked at inside. If that fails, it still has to be."""
        self.reset()
        try:
            yield
        except BaseException:
            self._tampered = True
            raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Changes made inside are ours, if `committed` says how many transactions there were.

        What goes wrong before anything is written is raised. Afterwards it is not: what is in force is in force,
        whether or not we can tell now who else wrote meanwhile. That is then to be looked at.
        """
        listened = self._joined
        if listened:
            self._leave()
        elif dump.generation(self._asking) != self._generation:
            self._tampered = listened = True
        before, self._commits = self._generation, 0
        try:
            yield
        finally:
            try:
                self._after_writing(before, listened)
            except OSError as error:
                _log.warning(
                    "nftables: cannot tell whether somebody else wrote too, so all will be looked at: %s", error
                )
                self._tampered = True

    def _after_writing(self, before: int, listened: bool) -> None:
        if listened:
            self._join()
        self._generation = dump.generation(self._asking)
        if self._generation != (before + self._commits) & 0xFFFFFFFF:
            self._suspect()

    def committed(self, transactions: int = 1) -> None:
        self._commits += transactions

    def _suspect(self) -> None:
        """Somebody wrote something. From now on we want to know what."""
        self._tampered = True
        if not self._joined:
            self._join()

    def _join(self) -> None:
        self._listening.join(kernel.NFNLGRP_NFTABLES)
        self._joined, self._quiet = True, 0

    def _leave(self) -> None:
        """Everything up to the generation that is then known has been heard."""
        self._generation = dump.generation(self._asking)
        self._listening.leave(kernel.NFNLGRP_NFTABLES)
        self._joined = False
        self._hear()

    def _listen(self) -> None:
        self._quiet = 0 if self._hear() else self._quiet + 1
        if self._quiet > QUIET_CALLS:
            self._leave()

    def _hear(self) -> bool:
        """Take what was announced; returns whether there was anything."""
        found, lost = self._listening.notifications()
        self._tampered |= lost or any(_table_of(m) in self._tables for m in found)
        return lost or bool(found)


def _table_of(message: messages.Message) -> tuple[int, str] | None:
    """The table that an announcement is about: protocol family and name."""
    if message.kind == Message.NEWGEN:
        return None
    about = attributes.parse(messages.netfilter_attributes(message.body))
    return message.body[0], text_of(about.get(_TABLE_NAME, b""))
