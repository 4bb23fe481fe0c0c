"""What do connections notice while a hundred endpoints a second change elsewhere in the cluster?

The same twice: in quiet, and while Services that nobody asks lose an endpoint and get it back. New connections are
timed by their first packet; long-lived ones must not be reset.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.harness import cluster
from bench.harness.arena import Arena, Sample
from bench.harness.check import complain
from bench.harness.entrant import Entrant
from bench.harness.fixtures import Record
from bench.harness.generators import ask, figures_of, start_asking, time_at
from bench.harness.results import Metric

SCALES = (1000, 10_000)  #: numbers of Services that tell enough
QUESTION = "What if changes pour in?"
PER_SECOND = 100
ASKED = 4  #: the first Services; those from the middle on change
LONGER = 3  #: times the usual sample

CASES = {False: "no changes", True: f"{PER_SECOND} changes a second"}


def metrics(changing: bool) -> list[Metric]:
    return [
        Metric(QUESTION, "first packet, p99", "µs", False, CASES[changing]),
        Metric(QUESTION, "long-lived connections reset", "connections", False, CASES[changing]),
        Metric(QUESTION, "changes that the API server took", "a second", True, CASES[changing], compared=False),
    ]


class Changes:
    """How many were made, at how many a second at most."""

    def __init__(self) -> None:
        self.made = 0
        self.over = threading.Event()

    def pour(self, stage: Arena) -> None:
        first, began = stage.services // 2, time.monotonic()
        while not self.over.wait(max(0.0, began + self.made / PER_SECOND - time.monotonic())):
            which = self.made // 2 % max(1, stage.services - first)
            addresses = cluster.BACKENDS[:3] if self.made % 2 == 0 else cluster.BACKENDS
            stage.api.set_addresses(f"service-{first + which}", addresses)
            self.made += 1


@contextmanager
def pouring(stage: Arena) -> Iterator[Changes]:
    changes = Changes()
    thread = threading.Thread(target=changes.pour, args=(stage,))
    thread.start()
    try:
        yield changes
    finally:
        changes.over.set()
        thread.join()
        if changes.made % 2:
            changes.made += 1
            first = stage.services // 2
            which = (changes.made - 1) // 2 % max(1, stage.services - first)
            stage.api.set_addresses(f"service-{first + which}", cluster.BACKENDS)


def noticed(entrant: Entrant, seconds: float) -> tuple[float, float]:
    """The 99th percentile of the first packet's time in µs, and how many long-lived connections were reset."""
    target = entrant.target(services=ASKED)
    living = start_asking(entrant.world, target, seconds, requests=0, concurrency=ASKED)
    asked = ask(entrant.world, target, seconds)
    complain(asked, target, some_expected=False)
    lived = figures_of(living, seconds + 30)
    return time_at(asked, "p99_us"), lived["reset"] + lived["timed_out"]


@pytest.mark.parametrize("changing", CASES, ids=CASES.get)
def test_what_connections_notice(stage: Arena, record: Record, changing: bool, request: pytest.FixtureRequest) -> None:
    if not changing and request.config.getoption("--quick"):
        pytest.skip("--quick")
    first_packet, resets, rate = metrics(changing)

    def sample(entrant: Entrant, seconds: float) -> Sample:
        if not changing:
            return dict(zip((first_packet, resets), noticed(entrant, LONGER * seconds), strict=True))
        with pouring(stage) as changes:
            began = time.monotonic()
            slowest, reset = noticed(entrant, LONGER * seconds)
            made = changes.made / (time.monotonic() - began)
        return {first_packet: slowest, resets: reset, rate: made}

    record.add(stage.measure([first_packet, resets, rate], sample, warm_up=False))
