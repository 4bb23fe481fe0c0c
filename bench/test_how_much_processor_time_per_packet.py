"""How much processor time does a packet cost the node?

At a rate that everybody can bear, so that all do the same work. What is counted is all the time that the processors of
the node and the backends were not idle: receiving costs the backends as much whoever brought the packet, so the cost of
a contender is what it has more than the ceiling.
"""

from __future__ import annotations

from bench.harness.arena import Arena, Sample
from bench.harness.entrant import Entrant
from bench.harness.generators import Packets, send_packets
from bench.harness.machine import ticks
from bench.harness.record import Record
from bench.harness.results import Metric
from bench.harness.statistics import FEWEST

SCALES = (1000, 10_000)  #: numbers of Services that tell enough
PACKETS = Packets(18, 64, rate=30_000)
LONGER = 3  #: times the usual sample, since the kernel counts in hundredths of a second

PROCESSOR_TIME = Metric(
    "How much processor time per packet?", "node and backends", "µs", False, "18 bytes, 64 flows, 30,000 packets/s"
)
ARRIVED = Metric("How much processor time per packet?", "arrived", "%", True, PROCESSOR_TIME.case, compared=False)


def processor_time(entrant: Entrant, seconds: float) -> Sample:
    processors = set(entrant.world.node_processors)
    counted, before = sum(entrant.sinks.delivered()), ticks(entrant.world.node, processors)
    sent = send_packets(entrant.world, entrant.target(), PACKETS, LONGER * seconds)
    after, delivered = ticks(entrant.world.node, processors), sum(entrant.sinks.delivered()) - counted
    busy = after.busy - before.busy
    return {PROCESSOR_TIME: 1e6 * busy / max(delivered, 1), ARRIVED: 100 * delivered / max(sent["offered"], 1)}


def test_how_much_processor_time_per_packet(stage: Arena, record: Record) -> None:
    record.add(stage.measure([PROCESSOR_TIME, ARRIVED], processor_time, rounds=FEWEST))
