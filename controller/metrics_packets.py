"""A dataplane that handles packets itself, in metrics: what became of them, by port, and why some were dropped.

When its flow table is full, the log and the Node are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.fullness import Table, watch
from dataplane.conntrack_room import Room
from dataplane.packets import Packets, PacketSource

_TABLE = Table(
    "the engine's flow table",
    "FlowTable",
    "TrackConnections",
    "a new connection takes the place of one that nobody answered, or is dropped where there is none",
    "see svcplane_engine_flows_evicted_total and svcplane_engine_drops_total",
)


class PacketMetrics(Collector):
    """Asks the source each time that somebody asks for metrics, and tells of a full flow table while it `run`s.

    `tell` has severity, reason, action and note of an event on the Node.
    """

    def __init__(self, source: PacketSource, tell: Callable[[str, str, str, str], None]) -> None:
        self._source = source
        self._tell = tell

    async def run(self) -> None:
        """Until cancelled."""
        await watch(self._room, _TABLE, self._tell)

    def _room(self) -> Room | None:
        packets = self._source.packets()
        if packets is None:
            return None
        refused = packets.drops.get("flows_full", 0) + packets.flows_evicted
        return Room(packets.flows, packets.flows_limit, refused)

    def collect(self) -> Iterable[Metric]:
        packets = self._source.packets() or Packets((), {}, 0, 0, 0)
        outcomes = CounterMetricFamily(
            "svcplane_port_packets",
            "Mode userspace: packets received, by port and by what became of them. The outcomes sum up to all.",
            labels=["port", "outcome"],
        )
        missed = CounterMetricFamily(
            "svcplane_port_missed",
            "Mode userspace: packets that the kernel dropped, as the port's queue was full.",
            labels=["port"],
        )
        octets = CounterMetricFamily(
            "svcplane_port_bytes", "Mode userspace: bytes received, with IP headers.", labels=["port"]
        )
        errors = CounterMetricFamily(
            "svcplane_port_errors", "Mode userspace: system calls of the port that failed.", labels=["port"]
        )
        for port in packets.ports:
            for outcome, count in port.outcomes.items():
                outcomes.add_metric((port.name, outcome), count)
            for family, count in ((missed, port.missed), (octets, port.bytes), (errors, port.errors)):
                family.add_metric((port.name,), count)
        drops = CounterMetricFamily(
            "svcplane_engine_drops", "Mode userspace: packets that the engine dropped, by why.", labels=["reason"]
        )
        for reason, count in packets.drops.items():
            drops.add_metric((reason,), count)
        xdp = CounterMetricFamily(
            "svcplane_xdp_events",
            "AF_XDP: packets sent by an interface or to_kernel, lost as unsent or refused, too_long for their way out, "
            "crowded (missed, as more SYNs came than there was room for), finished (given a checksum); kicks, the "
            "system calls to send; and moderations, how often a cable was told to wait for more packets, or no longer "
            "to.",
            labels=["event"],
        )
        for event, count in packets.xdp.items():
            xdp.add_metric((event,), count)
        yield from (outcomes, missed, octets, errors, drops, xdp)
        yield GaugeMetricFamily("svcplane_engine_flows", "Mode userspace: flows that are known.", value=packets.flows)
        yield GaugeMetricFamily(
            "svcplane_engine_flows_limit",
            "Mode userspace: flows that there is room for.",
            value=packets.flows_limit,
        )
        yield CounterMetricFamily(
            "svcplane_engine_flows_evicted",
            "Mode userspace: flows given up for new ones, as there was no room.",
            value=packets.flows_evicted,
        )
        yield CounterMetricFamily(
            "svcplane_engine_clients_refused",
            "Mode userspace: clients served and not remembered for session affinity, as there was no room.",
            value=packets.clients_refused,
        )
        yield GaugeMetricFamily(
            "svcplane_engine_pools_without_maglev",
            "Mode userspace: pools that ask for Maglev and are picked from at random, as there is no table for them.",
            value=packets.pools_without_maglev,
        )
