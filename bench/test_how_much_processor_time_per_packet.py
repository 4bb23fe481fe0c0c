"""How much processor time does a packet cost the node?

Twice: at a rate that everybody can bear, so that all do the same work; and when as many come as the client can send, of
those that arrive. At the former, whoever works packet by packet sleeps and is woken for each, which may cost more
than the packet; at the latter nobody sleeps, packets come many at a time, and what is spent on those that are lost
counts too.

What is counted is all the time that the processors of the node and the backends were not idle: receiving costs the
backends as much whoever brought the packet, so the cost of a contender is what it has more than the ceiling.
"""

from __future__ import annotations

import pytest

from bench.harness.arena import Arena, Sample
from bench.harness.entrant import Entrant
from bench.harness.generators import Packets, send_packets
from bench.harness.machine import ticks
from bench.harness.record import Record
from bench.harness.results import Metric

SCALES = (1000, 10_000)  #: numbers of Services that tell enough
PACKETS = Packets(18, 64, rate=30_000)
ALL_IT_CAN = Packets(18, 64)
LONGER = 2  #: times the usual sample, since the kernel counts in hundredths of a second

QUESTION = "How much processor time per packet?"
BEARABLE, LIMIT = "18 bytes, 64 flows, 30,000 packets/s", "18 bytes, 64 flows, as many as the client can send"
PROCESSOR_TIME = Metric(QUESTION, "node and backends", "µs", False, BEARABLE)
ARRIVED = Metric(QUESTION, "arrived", "%", True, BEARABLE, compared=False)
AT_THE_LIMIT = Metric(QUESTION, "node and backends, at the limit", "µs", False, LIMIT)


def processor_time(entrant: Entrant, packets: Packets, seconds: float) -> tuple[float, float]:
    """Microseconds for each packet that arrived, and the share of those sent that did."""
    processors = set(entrant.world.node_processors)
    counted, before = sum(entrant.sinks.delivered()), ticks(entrant.world.node, processors)
    sent = send_packets(entrant.world, entrant.target(), packets, LONGER * seconds)
    after, delivered = ticks(entrant.world.node, processors), sum(entrant.sinks.delivered()) - counted
    busy = after.busy - before.busy
    return 1e6 * busy / max(delivered, 1), delivered / max(sent["offered"], 1)


def at_a_bearable_rate(entrant: Entrant, seconds: float) -> Sample:
    spent, arrived = processor_time(entrant, PACKETS, seconds)
    return {PROCESSOR_TIME: spent, ARRIVED: 100 * arrived}


def at_the_limit(entrant: Entrant, seconds: float) -> Sample:
    return {AT_THE_LIMIT: processor_time(entrant, ALL_IT_CAN, seconds)[0]}


def test_how_much_processor_time_per_packet(stage: Arena, record: Record) -> None:
    record.add(stage.measure([PROCESSOR_TIME, ARRIVED], at_a_bearable_rate))


@pytest.mark.thorough
def test_how_much_processor_time_per_packet_when_as_many_come_as_can(stage: Arena, record: Record) -> None:
    record.add(stage.measure([AT_THE_LIMIT], at_the_limit))
