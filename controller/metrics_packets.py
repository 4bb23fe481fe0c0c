"""Metrics of a dataplane that handles packets itself: what became of them, by port, and why some were dropped."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dataplane.packets import Packets, PacketSource


class PacketMetrics(Collector):
    """Asks the source each time that somebody asks for metrics."""

    def __init__(self, source: PacketSource) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        packets = self._source.packets() or Packets((), {}, 0, 0)
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
            "finished (given a checksum); and kicks, the system calls to send.",
            labels=["event"],
        )
        for event, count in packets.xdp.items():
            xdp.add_metric((event,), count)
        yield from (outcomes, missed, octets, errors, drops, xdp)
        yield GaugeMetricFamily("svcplane_engine_flows", "Mode userspace: flows that are known.", value=packets.flows)
        yield CounterMetricFamily(
            "svcplane_engine_flows_evicted",
            "Mode userspace: flows given up for new ones, as there was no room.",
            value=packets.flows_evicted,
        )
