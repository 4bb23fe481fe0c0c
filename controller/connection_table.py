"""The kernel's connection table: how full it is, in metrics; when it is full, in the log and on the Node."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.fullness import Table, watch
from dataplane.conntrack_room import Room, RoomSource

_log = logging.getLogger(__name__)

_TABLE = Table(
    "the connection table",
    "ConnectionTable",
    "TrackConnections",
    "the kernel drops what begins a new connection",
    "conntrack.maxPerCore or net.netfilter.nf_conntrack_max give it more room",
)


class ConnectionTable(Collector):
    """Shows the table in metrics, looked at when somebody asks, and tells of it while it `run`s.

    `tell` has severity, reason, action and note of an event on the Node.
    """

    def __init__(self, source: RoomSource, tell: Callable[[str, str, str, str], None]) -> None:
        self._source = source
        self._tell = tell
        self._failed = False

    async def run(self) -> None:
        """Until cancelled."""
        await watch(self._look, _TABLE, self._tell)

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
