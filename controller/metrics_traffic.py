"""Metrics of traffic: connections, packets and bytes of each Service and of each backend."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.traffic import ServedBy, ServicePort, TrafficTotals, service_labels
from dataplane.table import ForwardingTable
from dataplane.traffic import Traffic, TrafficSource

_log = logging.getLogger(__name__)

#: Whoever asks more often than that gets what is known: a look at 100,000 flows costs the kernel a third of a second.
_MOST_OFTEN = 5.0

_OTHER = "other"
_SERVICE_LABELS = ("namespace", "service", "port", "protocol")
_BACKEND_LABELS = (*_SERVICE_LABELS, "backend")
_DIRECTIONS = ("in", "out")


class TrafficMetrics(Collector):
    """Looks at the source when somebody asks for metrics (`refresh`), in a thread of its own, and shows the totals.

    `limit`: how many Services, and how many backends, have series of their own. `table` gives the one in force.
    """

    def __init__(self, source: TrafficSource, table: Callable[[], ForwardingTable], limit: int) -> None:
        self._source = source
        self._table = table
        self._limit = limit
        self._totals = TrafficTotals(limit)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="traffic")
        self._looking = asyncio.Lock()
        self._looked: float | None = None
        self._failed = False

    def close(self) -> None:
        """Give the thread back. The source is its owner's."""
        self._thread.shutdown(wait=True)

    async def refresh(self) -> None:
        """Bring the totals up to date. If the kernel can't be asked, they stay as they are."""
        async with self._looking:
            if self._looked is not None and time.monotonic() - self._looked < _MOST_OFTEN:
                return
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._look)
                self._failed = False
            except OSError as error:
                if not self._failed:
                    _log.warning("traffic can't be read: %s", error)
                self._failed = True
            self._looked = time.monotonic()

    def _look(self) -> None:
        table = self._table()
        self._totals.add(self._source.take(table), table)

    def collect(self) -> Iterable[Metric]:
        services = [(_service_values(port), traffic) for port, traffic in self._totals.services.by_key.items()]
        services.append(((_OTHER,) * len(_SERVICE_LABELS), self._totals.services.other))
        yield from _families("service", "Services, by port", _SERVICE_LABELS, services)
        backends = [(_backend_values(served), traffic) for served, traffic in self._totals.backends.by_key.items()]
        backends.append(((_OTHER,) * len(_BACKEND_LABELS), self._totals.backends.other))
        yield from _families("backend", "Services, by backend", _BACKEND_LABELS, backends)
        series = GaugeMetricFamily(
            "svcplane_traffic_series",
            f"How many have series of their own. Beyond the limit they are summed up with the labels {_OTHER}.",
            labels=["kind"],
        )
        series.add_metric(["service"], len(self._totals.services.by_key))
        series.add_metric(["backend"], len(self._totals.backends.by_key))
        yield series
        limit = "How many Services, and how many backends, may have series of their own."
        yield GaugeMetricFamily("svcplane_traffic_series_limit", limit, value=self._limit)
        lost = "How often the kernel told more ends of connections than could be heard: their last packets are missed."
        yield CounterMetricFamily("svcplane_traffic_events_lost", lost, value=self._source.lost)


def _families(
    kind: str, whose: str, labels: tuple[str, ...], sums: list[tuple[tuple[str, ...], Traffic]]
) -> Iterator[Metric]:
    connections = CounterMetricFamily(
        f"svcplane_{kind}_connections", f"Connections to {whose}; for UDP, flows.", labels=labels
    )
    packets = CounterMetricFamily(
        f"svcplane_{kind}_packets", f"Packets of {whose}: in from clients, out to them.", labels=(*labels, "direction")
    )
    octets = CounterMetricFamily(
        f"svcplane_{kind}_bytes", f"The same in bytes, with IP headers, of {whose}.", labels=(*labels, "direction")
    )
    for values, traffic in sums:
        connections.add_metric(values, traffic.connections)
        for direction, number in zip(_DIRECTIONS, (traffic.packets_in, traffic.packets_out), strict=True):
            packets.add_metric((*values, direction), number)
        for direction, number in zip(_DIRECTIONS, (traffic.bytes_in, traffic.bytes_out), strict=True):
            octets.add_metric((*values, direction), number)
    yield from (connections, packets, octets)


def _service_values(port: ServicePort) -> tuple[str, ...]:
    labels = service_labels(port)
    return tuple(labels[label] for label in _SERVICE_LABELS)


def _backend_values(served: ServedBy) -> tuple[str, ...]:
    return (*_service_values(served.port), str(served.backend))
