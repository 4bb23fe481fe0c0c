"""What do connections notice while a hundred endpoints a second change elsewhere in the cluster?

The same twice: in quiet, and while Services that nobody asks lose an endpoint and get it back. New connections are
timed by their first packet; long-lived ones must not be reset.

And for a minute each packet of UDP flows is accounted for, while a Service beside them, which has flows too, loses one
endpoint and gets it back: those of its other endpoints are not affected, so none may be lost, or go elsewhere.
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
from bench.harness.generators import ask, figures_of, start_asking, start_flows, time_at
from bench.harness.record import Record
from bench.harness.results import Metric

SCALES = (1000, 10_000)  #: numbers of Services that tell enough
QUESTION = "What if changes pour in?"
PER_SECOND = 100
ASKED = 4  #: the first Services; those from the middle on change
LONGER = 2  #: times the usual sample
SECONDS, QUICK_SECONDS = 60, 2  #: for which each packet is accounted for
FLOWS, FLOW_RATE = 64, 2000
SCALED_EACH = 40  #: changes; agents may put two into one

CASES = {False: "no changes", True: f"{PER_SECOND} changes a second"}


LOST = Metric(QUESTION, "packets lost", "packets", False, CASES[True])
MISDELIVERED = Metric(QUESTION, "packets to another backend", "packets", False, CASES[True])
ASKED_FOR = Metric(QUESTION, "packets accounted for", "packets", True, CASES[True], compared=False)


def metrics(changing: bool) -> list[Metric]:
    return [
        Metric(QUESTION, "first packet, p99", "µs", False, CASES[changing]),
        Metric(QUESTION, "long-lived connections reset", "connections", False, CASES[changing]),
        Metric(QUESTION, "changes that the API server took", "a second", True, CASES[changing], compared=False),
    ]


class Changes:
    """How many were made, at how many a second at most; `scaling` is a Service that is scaled besides, if any."""

    def __init__(self, stage: Arena, scaling: str = "") -> None:
        self.made = self.scaled = 0
        self.over = threading.Event()
        self._stage, self._scaling = stage, scaling

    def pour(self) -> None:
        began = time.monotonic()
        while not self.over.wait(max(0.0, began + self.made / PER_SECOND - time.monotonic())):
            self._change()
            if self._scaling and self.made % SCALED_EACH == 0:
                self._scale()
        if self.made % 2:
            self._change()
        if self.scaled % 2:
            self._scale()

    def _change(self) -> None:
        """Take an endpoint from one of the Services from the middle on; or give it back."""
        first = self._stage.services // 2
        which = self.made // 2 % max(1, self._stage.services - first)
        self._set(f"service-{first + which}", self.made)
        self.made += 1

    def _scale(self) -> None:
        self._set(self._scaling, self.scaled)
        self.scaled += 1

    def _set(self, service: str, count: int) -> None:
        self._stage.api.set_addresses(service, cluster.BACKENDS if count % 2 else cluster.BACKENDS[:-1])


@contextmanager
def pouring(stage: Arena, scaling: str = "") -> Iterator[Changes]:
    changes = Changes(stage, scaling)
    thread = threading.Thread(target=changes.pour)
    thread.start()
    try:
        yield changes
    finally:
        changes.over.set()
        thread.join()


def noticed(entrant: Entrant, seconds: float) -> tuple[float, float]:
    """The 99th percentile of the first packet's time in µs, and how many long-lived connections were reset."""
    target = entrant.target(services=ASKED)
    living = start_asking(entrant.world, target, seconds, requests=0, concurrency=ASKED)
    asked = ask(entrant.world, target, seconds)
    complain(asked, target, some_expected=False)
    lived = figures_of(living, seconds + 30)
    return time_at(asked, 99), lived["reset"] + lived["timed_out"]


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

    record.add(stage.measure([first_packet, resets, rate], sample, warm_up=False, asides=False))


def accounted_for(entrant: Entrant, seconds: float) -> Sample:
    options = {"flows": FLOWS // 2, "rate": FLOW_RATE // 2}
    steady = start_flows(entrant.world, entrant.flows_target(), seconds, **options)
    # Backends' names are their numbers, and it is the last one that leaves.
    scaled = start_flows(entrant.world, entrant.scaled_target(), seconds, leaving=len(cluster.BACKENDS), **options)
    figures = [figures_of(program, seconds + 30) for program in (steady, scaled)]
    return {
        LOST: sum(each["lost"] for each in figures),
        MISDELIVERED: sum(each["misdelivered"] for each in figures),
        ASKED_FOR: sum(each["sent"] for each in figures),
    }


@pytest.mark.takes_minutes
def test_no_packet_of_other_flows_is_lost(stage: Arena, record: Record, request: pytest.FixtureRequest) -> None:
    if stage.services != SCALES[0]:
        pytest.skip(f"{SCALES[0]:,} Services tell enough")
    seconds = QUICK_SECONDS if request.config.getoption("--quick") else SECONDS

    def sample(entrant: Entrant, _: float) -> Sample:
        with pouring(stage, "scaled"):
            return accounted_for(entrant, seconds)

    record.add(stage.measure([LOST, MISDELIVERED, ASKED_FOR], sample, warm_up=False, rounds=1, asides=False))
