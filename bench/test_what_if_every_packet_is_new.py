"""What if every packet is of a new flow, until conntrack is full?

UDP packets, no two of one flow, as many as the client can send: first with few flows known, then with as many as fit.
Meanwhile a few connections that were there before go on asking. What they notice is what an attack, or a busy DNS
resolver, does to everybody else on the node.
"""

from __future__ import annotations

import pytest

from bench.harness.arena import Arena, Sample
from bench.harness.entrant import Entrant
from bench.harness.generators import Packets, figures_of, send_packets, start_asking
from bench.harness.record import Record
from bench.harness.results import Metric
from bench.harness.statistics import FEWEST

pytestmark = pytest.mark.thorough
SCALES = (1000,)  #: numbers of Services that tell enough
QUESTION = "What if every packet is new?"
PORTS = 50_000  #: different source ports that the sender has, for each Service
FLOWS = 1_000_000
ENOUGH = 300_000  #: flows that fill conntrack's table: 262,144 is the usual limit

CASES = {False: "conntrack empty", True: "conntrack full"}


def metrics(full: bool) -> list[Metric]:
    return [
        Metric(QUESTION, "delivered, each of a new flow", "packets/s", True, CASES[full]),
        Metric(QUESTION, "established connections: answers", "requests/s", True, CASES[full]),
        Metric(QUESTION, "established connections lost", "connections", False, CASES[full]),
    ]


def flood(entrant: Entrant, seconds: float, *, full: bool) -> Sample:
    delivered, answers, lost = metrics(full)
    target = entrant.target()
    packets = Packets(18, min(FLOWS, PORTS * target.services))
    entrant.world.node.run(["conntrack", "-F"])
    living = start_asking(entrant.world, entrant.target(services=4), 60, requests=0, concurrency=4)
    try:
        if full and not entrant.contender.is_ceiling:
            filling = Packets(18, packets.flows, rate=150_000)
            send_packets(entrant.world, target, filling, ENOUGH / filling.rate)
        before = sum(entrant.sinks.delivered())
        sent = send_packets(entrant.world, target, packets, seconds)
        arrived = sum(entrant.sinks.delivered()) - before
    finally:
        living.signal_end()
    lived = figures_of(living, 30)
    entrant.world.node.run(["conntrack", "-F"])
    return {
        delivered: arrived / sent["seconds"],
        answers: lived["asking"]["count"] / lived["seconds"],
        lost: lived["lost"],
    }


@pytest.mark.parametrize("full", CASES, ids=CASES.get)
def test_what_if_every_packet_is_new(stage: Arena, record: Record, full: bool) -> None:
    def sample(entrant: Entrant, seconds: float) -> Sample:
        return flood(entrant, seconds, full=full)

    # Filling takes seconds for each sample.
    record.add(stage.measure(metrics(full), sample, warm_up=False, rounds=FEWEST, asides=not full))
