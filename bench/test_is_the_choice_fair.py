"""Does every backend get its share, and does a client with affinity stay where it is, under load?"""

from __future__ import annotations

import pytest

from bench.harness import cluster
from bench.harness.arena import Arena, Sample
from bench.harness.check import complain
from bench.harness.entrant import Entrant
from bench.harness.generators import ask
from bench.harness.record import Record
from bench.harness.results import Metric
from bench.harness.statistics import FEWEST, chi_square
from bench.harness.target import Target

pytestmark = pytest.mark.thorough
SCALES = (1000,)  #: numbers of Services that tell enough
CONNECTIONS = 2000
LIMIT = 30.0  #: seconds for all of them

CASE = f"{CONNECTIONS:,} connections, 32 at a time"
CHANCE = Metric("Is the choice fair?", "chance of shares so uneven (chi-square)", "p", True, CASE, compared=False)
#: Not compared: where the choice is fair, both are chance, and so is their ratio.
UNEVEN = Metric("Is the choice fair?", "farthest from an equal share", "%", False, CASE, compared=False)
STRAYED = Metric("Does affinity hold?", "went elsewhere", "connections", False, CASE)


def shares(entrant: Entrant, _: float) -> Sample:
    if entrant.contender.is_ceiling:
        return {}
    answers = _answers(entrant, entrant.target().one())
    counts = [answers.get(str(number), 0) for number in range(1, len(cluster.BACKENDS) + 1)]
    equal = sum(counts) / len(counts)
    return {CHANCE: chi_square(counts), UNEVEN: 100 * max(abs(count / equal - 1) for count in counts)}


def affinity(entrant: Entrant, _: float) -> Sample:
    if entrant.contender.is_ceiling:
        return {}
    answers = _answers(entrant, Target(cluster.AFFINE, 1, 80))
    return {STRAYED: sum(answers.values()) - max(answers.values())}


def _answers(entrant: Entrant, target: Target) -> dict[str, int]:
    asked = ask(entrant.world, target, LIMIT, concurrency=32, connections=CONNECTIONS)
    complain(asked, target)
    answers: dict[str, int] = asked["answers"]
    return answers


def test_does_every_backend_get_its_share(stage: Arena, record: Record) -> None:
    record.add(stage.measure([CHANCE, UNEVEN], shares, warm_up=False, rounds=FEWEST, asides=False))


def test_does_affinity_hold_under_load(stage: Arena, record: Record) -> None:
    record.add(stage.measure([STRAYED], affinity, warm_up=False, rounds=FEWEST, asides=False))
