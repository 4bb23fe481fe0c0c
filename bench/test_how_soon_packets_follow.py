"""How soon do packets follow a change at the API server? And before that: how long did the start take, and how much
memory does the agent hold?

The canary's one endpoint is moved to another backend, and the client asks again and again who answers. Nothing is
looked at but packets. Agents stand still while others are measured, and meanwhile the canary is moved for the others.
So before the change that counts there are two that don't. Who needs seconds for a sync may show a state of others'
turns first, and by chance it is the one that is waited for; but all that happened before has been read when the next
sync begins, so what answers to the second is that change. Then another second passes, for kube-proxy waits so long
between two syncs.
"""

from __future__ import annotations

import time

from bench.harness import cluster
from bench.harness.arena import Arena, Sample
from bench.harness.check import TooLateError
from bench.harness.entrant import Entrant
from bench.harness.host import Program
from bench.harness.record import Record
from bench.harness.results import Measured, Metric
from bench.harness.statistics import FEWEST
from bench.load import build

SCALES = (1000, 10_000)  #: numbers of Services that tell enough
QUESTION = "How soon do packets follow a change?"
REACTION = Metric(QUESTION, "first answer from the new endpoint", "ms", False, "one endpoint replaced")
START = Metric("How long does the start take?", "first right answers", "s", False, "checked every 0.1 s")
MEMORY = Metric("How much memory?", "resident, of the agent", "MB", False, "when it was ready")

PATIENCE = 60.0  #: seconds; who needs longer for one change is TOO SLOW
_PAUSE = 1.2
_TO_CATCH_UP, _THAT_COUNTS = (3, 4), 1  #: backends


class Canary:
    """Moves the canary, and waits for it."""

    def __init__(self, stage: Arena) -> None:
        self._stage = stage

    def sample(self, entrant: Entrant, _: float) -> Sample:
        if entrant.contender.is_ceiling:
            return {}
        world = entrant.world
        words = ("--destination", cluster.CANARY, "--port", "80", "--timeout", str(round(1000 * PATIENCE)))
        probe = world.client.start([world.client.bring(build.program("udp_probe")), *words])
        try:
            for backend in _TO_CATCH_UP:
                self._move(probe, backend)
            time.sleep(_PAUSE)
            return {REACTION: 1000 * self._move(probe, _THAT_COUNTS)}
        finally:
            probe.stop()

    def _move(self, probe: Program, backend: int) -> float:
        """To this backend, until it has answered. Returns the seconds."""
        probe.write_line(str(backend))
        began = time.monotonic()
        self._stage.api.set_addresses("canary", [cluster.BACKENDS[backend - 1]])
        if not probe.read_line().strip().isdigit():
            raise TooLateError(f"more than {PATIENCE:g} s for one change")
        return time.monotonic() - began


def test_how_soon_packets_follow_a_change(stage: Arena, record: Record) -> None:
    record.add(stage.measure([REACTION], Canary(stage).sample, warm_up=False, rounds=FEWEST, asides=False))


def test_how_long_the_start_took_and_how_much_memory_it_takes(stage: Arena, record: Record) -> None:
    for entrant in stage.entrants:
        for metric, value in ((START, entrant.ready_after), (MEMORY, entrant.memory)):
            if not entrant.contender.is_ceiling and (value is not None or entrant.trouble):
                samples = () if value is None else (value,)
                record.add([Measured(metric, entrant.name, stage.services, samples, entrant.trouble)])
