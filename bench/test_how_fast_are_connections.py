"""How many connections a second, and how long does the first packet take?

A connection connects, asks with one byte, is answered with one, and is closed; the next goes to another Service. The
first packet's time is that of connecting (SYN, and back), one connection after the other.
"""

from __future__ import annotations

from bench.harness.arena import SENDER_IS_THE_LIMIT, Arena, Sample
from bench.harness.check import complain
from bench.harness.entrant import Entrant
from bench.harness.generators import ask, time_at
from bench.harness.record import Record
from bench.harness.results import Metric

RATE = Metric("How many connections a second?", "answered", "connections/s", True, "32 at a time")
FIRST_PACKET = "How long does the first packet take?"
QUANTILES = {
    percent: Metric(FIRST_PACKET, f"p{percent}", "µs", False, "one after the other") for percent in (50, 95, 99)
}
BUSY = 0.95  #: of its processor's time: more than that a client cannot be


def rate(entrant: Entrant, seconds: float) -> Sample:
    asked = ask(entrant.world, entrant.target(), seconds, concurrency=32)
    complain(asked, entrant.target(), some_expected=False)
    return {RATE: asked["finished"] / asked["seconds"], SENDER_IS_THE_LIMIT: float(asked["busy"] > BUSY)}


def first_packet(entrant: Entrant, seconds: float) -> Sample:
    asked = ask(entrant.world, entrant.target(), seconds)
    complain(asked, entrant.target(), some_expected=False)
    return {metric: time_at(asked, percent) for percent, metric in QUANTILES.items()}


def test_how_many_connections_per_second(stage: Arena, record: Record) -> None:
    record.add(stage.measure([RATE], rate))


def test_how_long_the_first_packet_takes(stage: Arena, record: Record) -> None:
    record.add(stage.measure(list(QUANTILES.values()), first_packet))
