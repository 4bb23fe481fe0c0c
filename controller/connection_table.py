"""A full connection table of the kernel is told: in metrics, and once in the log and on the Node, as is its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.events import NORMAL, WARNING
from dataplane.conntrack_room import Room, RoomSource

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


class ConnectionTable(Collector):
    """Shows the table in metrics, looked at when somebody asks, and tells of it while it `run`s.

    `tell` has severity, reason, action and note of an event on the Node.
    """

    def __init__(self, source: RoomSource, tell: Callable[[str, str, str, str], None]) -> None:
        self._source = source
        self._tell = tell
        self._fullness = Fullness()
        self._failed = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            room = self._look()
            if room is not None and self._fullness.note(room, time.monotonic()):
                self._tell_of(room)
            await asyncio.sleep(INTERVAL)

    def _tell_of(self, room: Room) -> None:
        numbers = f"{room.entries} of {room.limit} entries"
        if self._fullness.full:
            note = (
                f"the connection table is full ({numbers}): the kernel drops what begins a new connection; "
                "conntrack.maxPerCore or net.netfilter.nf_conntrack_max give it more room"
            )
            _log.warning("%s", note)
            self._tell(WARNING, "ConnectionTableFull", "TrackConnections", note)
        else:
            note = f"the connection table has room again ({numbers})"
            _log.info("%s", note)
            self._tell(NORMAL, "ConnectionTableHasRoom", "TrackConnections", note)

    def _look(self) -> Room | None:
        try:
            room = self._source.look()
        except OSError as error:
            if not self._failed:
                _log.warning("the fill of the connection table can't be read: %s", error)
            self._failed = True
            return None
        self._failed = False
        return room

    def collect(self) -> Iterable[Metric]:
        room = self._look()
        if room is None:
            return
        text = "Connections of this node that the kernel tracks, Services' and others (nf_conntrack_count)."
        yield GaugeMetricFamily("svcplane_connection_table_entries", text, value=room.entries)
        text = "How many of them it tracks at most (nf_conntrack_max); what begins one more is dropped. 0: no limit."
        yield GaugeMetricFamily("svcplane_connection_table_limit", text, value=room.limit)
        text = "Packets that connection tracking dropped: as the table was full, or seldom as they fit no connection."
        yield CounterMetricFamily("svcplane_connection_table_dropped_packets", text, value=room.dropped)
