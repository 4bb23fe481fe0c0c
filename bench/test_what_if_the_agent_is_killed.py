"""What do connections notice when the agent is killed under load, and started again?

The connections are established before, and ask all the time. Each time the agent is killed (SIGKILL), started, and
given until new connections are answered, and as long again: a connection whose packets
were lost sends them again after it has waited twice as long as it was cut off (RFC 6298, 5.5).
Counted is over all times, so that one connection lost is one.
"""

from __future__ import annotations

import time

import pytest

from bench.harness.arena import Arena, Sample
from bench.harness.entrant import Entrant
from bench.harness.fixtures import KILLS, QUICK_KILLS
from bench.harness.generators import figures_of, start_asking
from bench.harness.record import Record
from bench.harness.results import Metric

SCALES = (1000,)  #: numbers of Services that tell enough
CONNECTIONS = 16
PATIENCE = 60  #: seconds; TCP itself would wait for a quarter of an hour
AT_EASE = 0.5  #: seconds that go by quietly


def metrics(kills: int) -> tuple[Metric, Metric, Metric]:
    def metric(name: str, unit: str) -> Metric:
        return Metric("What if the agent is killed?", name, unit, False, f"{kills} times, {CONNECTIONS} connections")

    return metric("reset", "connections"), metric("lost otherwise", "connections"), metric("longest silence", "ms")


def killed(entrant: Entrant, kills: int) -> Sample:
    reset, lost, silence = metrics(kills)
    target = entrant.target(services=4)
    living = start_asking(entrant.world, target, 3600, requests=0, concurrency=CONNECTIONS, timeout=1000 * PATIENCE)
    try:
        time.sleep(AT_EASE)
        for _ in range(kills):
            began = time.monotonic()
            entrant.kill()
            entrant.revive(PATIENCE)
            time.sleep(time.monotonic() - began + AT_EASE)
    finally:
        living.signal_end()
    lived = figures_of(living, 30)
    return {
        reset: lived["reset"],
        lost: lived["timed_out"] + lived["refused"] + lived["unreachable"],
        silence: max(lived["asking"]["max_us"], lived["waiting_us"]) / 1000,
    }


@pytest.mark.takes_minutes
@pytest.mark.timeout(7200)  # a few seconds for each contender and kill
def test_what_if_the_agent_is_killed(stage: Arena, record: Record, request: pytest.FixtureRequest) -> None:
    quick = request.config.getoption("--quick")
    kills = request.config.getoption("--kills") or (QUICK_KILLS if quick else KILLS)
    record.add(
        stage.measure(metrics(kills), lambda entrant, _: killed(entrant, kills), warm_up=False, rounds=1, asides=False)
    )
