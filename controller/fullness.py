"""A full table, the kernel's or the engine's, is told of once, in the log and on the Node, and so is its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from controller.events import NORMAL, WARNING
from dataplane.conntrack_room import Room

_log = logging.getLogger(__name__)

#: Seconds between two looks.
INTERVAL = 1.0
#: For so many seconds nothing must have been refused until all is well again: a full table loses and gains entries
#: all the time, and each of them is no news.
QUIET = 10.0
# Packets are dropped for other reasons too. As entries come and go, one look may find less than the limit.
_NEARLY_FULL = 0.9


class Fullness:
    """Whether there is room for new connections, judged from one look after the other."""

    def __init__(self) -> None:
        self.full = False
        self._before: Room | None = None
        self._refused_last = 0.0

    def note(self, room: Room, now: float) -> bool:
        """What was seen at that time, in seconds. Returns whether `full` has changed."""
        before, self._before = self._before, room
        dropped = before is not None and room.dropped != before.dropped
        refuses = bool(room.limit) and (
            room.entries >= room.limit or (dropped and room.entries >= _NEARLY_FULL * room.limit)
        )
        if refuses:
            self._refused_last = now
        was = self.full
        self.full = refuses or (was and now - self._refused_last < QUIET)
        return self.full != was


class Table(NamedTuple):
    """What is said about one."""

    name: str
    reason: str  #: of events: with ...Full or ...HasRoom after it
    action: str  #: of events: what cannot be done
    consequence: str
    remedy: str


async def watch(look: Callable[[], Room | None], table: Table, tell: Callable[[str, str, str, str], None]) -> None:
    """Look again and again, and tell of it, until cancelled.

    `look` gives None where nothing can be seen. `tell` has severity, reason, action and note of an event on the Node.
    """
    fullness = Fullness()
    while True:
        room = look()
        if room is not None and fullness.note(room, time.monotonic()):
            numbers = f"{room.entries} of {room.limit} entries"
            if fullness.full:
                note = f"{table.name} is full ({numbers}): {table.consequence}; {table.remedy}"
                _log.warning("%s", note)
                tell(WARNING, f"{table.reason}Full", table.action, note)
            else:
                note = f"{table.name} has room again ({numbers})"
                _log.info("%s", note)
                tell(NORMAL, f"{table.reason}HasRoom", table.action, note)
        await asyncio.sleep(INTERVAL)
