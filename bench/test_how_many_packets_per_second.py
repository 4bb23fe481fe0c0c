"""How many packets a second reach the backends? By their size, by the number of flows, and by the number of Services.

The client sends UDP as fast as it can, to all Services in turn; what the backends have counted is the figure.
"""

from __future__ import annotations

import pytest

from bench.harness.arena import SENDER_IS_THE_LIMIT, Arena, Sample
from bench.harness.entrant import Entrant
from bench.harness.generators import Packets, send_packets
from bench.harness.record import Record
from bench.harness.results import Metric

QUESTION = "How many packets a second?"
CASES = (Packets(18, 1), Packets(18, 64), Packets(18, 4096), Packets(1400, 64))
EVERYWHERE = CASES[1]  #: with each number of Services; the others with one of them
EXHAUSTING = 0.98  #: if so much of what is sent arrives, it was not the contender that had enough


def metric(packets: Packets) -> Metric:
    flows = "1 flow" if packets.flows == 1 else f"{packets.flows:,} flows"
    return Metric(QUESTION, "delivered", "packets/s", True, f"{packets.payload} bytes, {flows}")


def delivered(entrant: Entrant, packets: Packets, seconds: float) -> Sample:
    before = sum(entrant.sinks.delivered())
    sent = send_packets(entrant.world, entrant.target(), packets, seconds)
    arrived = sum(entrant.sinks.delivered()) - before
    return {
        metric(packets): arrived / sent["seconds"],
        SENDER_IS_THE_LIMIT: float(arrived >= EXHAUSTING * sent["offered"]),
    }


@pytest.mark.parametrize("packets", CASES, ids=lambda packets: metric(packets).case)
def test_how_many_packets_per_second(
    stage: Arena, record: Record, packets: Packets, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--quick") and packets != EVERYWHERE:
        pytest.skip("--quick")
    if packets != EVERYWHERE and stage.services != request.getfixturevalue("arenas").aside_at:
        pytest.skip(f"{metric(packets).case}: one number of Services is enough")
    record.add(stage.measure([metric(packets)], lambda entrant, seconds: delivered(entrant, packets, seconds)))
