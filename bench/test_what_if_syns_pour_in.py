"""What if SYNs pour in that nobody means?

Connections begin at the Services from everywhere, and none goes on (a SYN flood, RFC 4987), until whatever is kept of
connections is full. Meanwhile a few that were established before go on asking; one that waits for an answer for three
seconds, or is reset, is lost.
"""

from __future__ import annotations

import time

import pytest

from bench.harness.arena import Arena, Sample
from bench.harness.entrant import Entrant
from bench.harness.generators import figures_of, flood, start_asking
from bench.harness.record import Record
from bench.harness.results import Metric

SCALES = (1000,)  #: numbers of Services that tell enough
PER_SECOND = 50_000
SECONDS, QUICK_SECONDS = 20, 1  #: a million is more than anybody keeps
CONNECTIONS = 4
ESTABLISHED = 0.1  #: seconds after which they are


def metrics(seconds: int) -> tuple[Metric, Metric, Metric]:
    question, case = "What if SYNs pour in?", f"{PER_SECOND:,} a second for {seconds} s"
    return (
        Metric(question, "established connections: answers", "requests/s", True, case),
        Metric(question, "established connections lost", "connections", False, case),
        Metric(question, "SYNs sent", "packets/s", True, case, compared=False),
    )


def flooded(entrant: Entrant, seconds: int) -> Sample:
    answers, lost, sent = metrics(seconds)
    entrant.world.node.run(["conntrack", "-F"])
    living = start_asking(entrant.world, entrant.target(services=4), 3600, requests=0, concurrency=CONNECTIONS)
    try:
        time.sleep(ESTABLISHED)
        flooding = flood(entrant.world, entrant.target(), PER_SECOND, seconds)
    finally:
        living.signal_end()
    lived = figures_of(living, 30)
    entrant.world.node.run(["conntrack", "-F"])
    return {
        answers: lived["asking"]["count"] / lived["seconds"],
        lost: lived["lost"],
        sent: flooding["taken"] / flooding["seconds"],
    }


@pytest.mark.takes_minutes
def test_what_if_syns_pour_in(stage: Arena, record: Record, request: pytest.FixtureRequest) -> None:
    seconds = QUICK_SECONDS if request.config.getoption("--quick") else SECONDS
    record.add(
        stage.measure(
            metrics(seconds), lambda entrant, _: flooded(entrant, seconds), warm_up=False, rounds=1, asides=False
        )
    )
