"""All contenders at once, each in its world, ready to be measured in turns."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.harness.api_server import Api
from bench.harness.contenders import Contender
from bench.harness.entrant import FAILURES, Entrant, entered
from bench.harness.results import Measured, Metric
from bench.harness.world import Here, Site

Sample = Mapping[Metric, float]

#: In a sample, 1.0 if the load generator could not do more. Becomes a note, if that was so in most samples.
SENDER_IS_THE_LIMIT = Metric("", "the sender is the limit", "", more_is_better=False)
AT_LEAST = "at least: the sender could not do more"


@dataclass(frozen=True)
class Plan:
    """How thoroughly."""

    rounds: int = 5
    seconds: float = 0.5  #: of each sample
    warm_up: float = 0.1  #: seconds of the same before it, which do not count
    start_limit: float = 120.0  #: seconds that a contender may take until it answers right

    @staticmethod
    def quick() -> Plan:
        return Plan(seconds=0.2, warm_up=0.05, start_limit=40.0)


class Arena:
    """`services` Services are programmed everywhere."""

    def __init__(self, services: int, entrants: Sequence[Entrant], api: Api, plan: Plan) -> None:
        self.services = services
        self.entrants = entrants
        self.api = api
        self.plan = plan

    def measure(
        self,
        metrics: Sequence[Metric],
        sample: Callable[[Entrant, float], Sample],
        *,
        warm_up: bool = True,
        rounds: int | None = None,
    ) -> list[Measured]:
        """Take a sample of each contender in turn, round after round, and see that all were right before and after.

        `sample` measures for so many seconds. One that fails breaks its contender, and is told in place of figures.
        `rounds` is for samples that are long, or count what must not happen at all: a median would hide it.
        """
        taken: dict[tuple[str, Metric], list[float]] = {}
        self._verify()
        for _ in range(rounds or self.plan.rounds):
            for entrant in self._well():
                with entrant.turn():
                    try:
                        if warm_up:
                            sample(entrant, self.plan.warm_up)
                        figures = sample(entrant, self.plan.seconds)
                    except FAILURES as error:
                        entrant.trouble = f"BROKEN: {error}"
                        continue
                for metric, value in figures.items():
                    taken.setdefault((entrant.name, metric), []).append(value)
        self._verify()
        return [
            _measured(metric, entrant, taken)
            for entrant in self.entrants
            for metric in metrics
            if entrant.trouble or (entrant.name, metric) in taken
        ]

    def _well(self) -> list[Entrant]:
        return [entrant for entrant in self.entrants if not entrant.trouble]

    def _verify(self) -> None:
        for entrant in self._well():
            entrant.verify()


def _measured(metric: Metric, entrant: Entrant, taken: Mapping[tuple[str, Metric], Sequence[float]]) -> Measured:
    samples = () if entrant.trouble else tuple(taken[entrant.name, metric])
    limits = taken.get((entrant.name, SENDER_IS_THE_LIMIT), ())
    notes = (AT_LEAST,) if limits and 2 * sum(limits) > len(limits) else ()
    return Measured(metric, entrant.name, entrant.services, samples, entrant.trouble, notes)


@contextmanager
def arena(services: int, contenders: Sequence[Contender], plan: Plan, site: Site | None = None) -> Iterator[Arena]:
    """Build a world for each, start everybody one after the other, and take all away at the end.

    Worlds are made on this machine, or where `site` says.
    """
    site = site or Here()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="svcplane-bench-")))
        entrants: list[Entrant] = []
        listeners = []
        for number, contender in enumerate(contenders):
            world = stack.enter_context(site.world(f"bench-{os.getpid()}-{number}"))
            if world.listener:
                listeners.append(world.listener)
            entrants.append(stack.enter_context(entered(contender, world, services, folder)))
        with_endpoints = any(contender.reads_endpoints for contender in contenders)
        api = Api(services, listeners, with_endpoints=with_endpoints)
        stack.callback(api.close)
        stack.enter_context(site.reaching(api.port))
        for entrant in entrants:
            entrant.start(plan.start_limit)
            with entrant.turn():  # and then stand still until it is asked
                time.sleep(0.1)
        yield Arena(services, entrants, api, plan)
