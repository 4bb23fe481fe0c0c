"""All contenders at once, each in its world, ready to be measured in turns."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.harness.api_server import Api, ApiRequests
from bench.harness.check import TooLateError
from bench.harness.cluster_api import ClusterApi
from bench.harness.contenders import Contender
from bench.harness.deadline import Deadline
from bench.harness.entrant import FAILURES, Entrant, entered
from bench.harness.results import AT_LEAST, Measured, Metric
from bench.harness.world import Here, Site

Sample = Mapping[Metric, float]

#: In a sample, 1.0 if the load generator could not do more. Becomes a note, if that was so in most samples.
SENDER_IS_THE_LIMIT = Metric("", "the sender is the limit", "", more_is_better=False)

NEVER = Deadline()


@dataclass(frozen=True)
class Plan:
    """How thoroughly."""

    #: One of them may be disturbed without changing a verdict, which of six would undo it: so more short samples say
    #: more than few long ones. Fewer are for samples that take seconds.
    rounds: int = 9
    seconds: float = 0.25  #: of each sample
    warm_up: float = 0.05  #: seconds of the same before it, which do not count
    start_limit: float = 90.0  #: seconds that a contender may take until it answers right
    question_limit: float = 240.0  #: seconds after which no further round of a question begins

    @staticmethod
    def quick() -> Plan:
        return Plan(seconds=0.12, start_limit=40.0)


class Arena:
    """`services` Services are programmed everywhere. When the `deadline` is over, nobody has a turn any more."""

    def __init__(
        self,
        services: int,
        entrants: Sequence[Entrant],
        api: ApiRequests,
        plan: Plan,
        deadline: Deadline = NEVER,
    ) -> None:
        self.services = services
        self.entrants = entrants
        self.api = api
        self.plan = plan
        self._deadline = deadline
        self._verified = False

    def measure(
        self,
        metrics: Sequence[Metric],
        sample: Callable[[Entrant, float], Sample],
        *,
        warm_up: bool = True,
        rounds: int | None = None,
        asides: bool = True,
    ) -> list[Measured]:
        """Take a sample of each contender in turn, round after round, and see that all were right before and after.

        `sample` measures for so many seconds; NaN is a figure that it had too few answers to tell. One that fails is
        taken again, once, and that is noted. Who fails twice is BROKEN in this question, which is told in place of
        figures, and who is late (TooLateError) is TOO SLOW at once; who answers wrong before or after it is BROKEN from
        then on. `rounds` is for samples that are long, or count what must never happen: a median would hide it. No
        further round begins when the question has had its time, and nobody has another turn who would take more than
        half of that for himself, so that who is slow leaves time for the others. Who has had fewer turns than planned
        has a note.
        Without `asides`, contenders that differ little from another one are not asked: for questions that take long.
        """
        turns = [Turns(entrant) for entrant in self.entrants if asides or not entrant.contender.aside]
        if not self._verified:  # else the question before has just done it
            self._verify()
        self._verified = False
        planned = rounds or self.plan.rounds
        question = self._deadline.within(self.plan.question_limit)
        for number in range(planned):
            if number and question.over:
                break
            for each in turns:
                if not each.trouble and not self._deadline.over and each.next_ends_within(self.plan.question_limit / 2):
                    each.take(sample, self.plan.seconds, self.plan.warm_up if warm_up else 0)
        self._verify()
        self._verified = True
        return [found for each in turns for metric in metrics if (found := each.measured(metric, planned)) is not None]

    def _verify(self) -> None:
        for entrant in self.entrants:
            entrant.verify()


class Turns:
    """The samples of one contender, in one question."""

    def __init__(self, entrant: Entrant) -> None:
        self._entrant = entrant
        self._taken: dict[Metric, list[float]] = {}
        self._failed: list[Exception] = []
        self._count = 0
        self._spent = self._longest = 0.0  # seconds

    @property
    def trouble(self) -> str:
        if self._entrant.trouble:
            return self._entrant.trouble
        if self._failed and isinstance(self._failed[-1], TooLateError):
            return f"TOO SLOW: {self._failed[-1]}"
        return f"BROKEN: {self._failed[-1]}" if len(self._failed) >= 2 else ""

    @property
    def _untaken(self) -> str:
        """Why there is nothing, where nothing went wrong."""
        return "" if self._count else "NO TIME: the run was over before its turn"

    def next_ends_within(self, seconds: float) -> bool:
        """Whether all of its turns, with one more that is as long as the longest so far, take no longer."""
        return not self._count or self._spent + self._longest <= seconds

    def take(self, sample: Callable[[Entrant, float], Sample], seconds: float, warm_up: float) -> None:
        began = time.monotonic()
        with self._entrant.turn():
            while not self.trouble:
                try:
                    if warm_up:
                        sample(self._entrant, warm_up)
                    figures = sample(self._entrant, seconds)
                except FAILURES as error:
                    self._failed.append(error)
                    continue
                for metric, value in figures.items():
                    self._taken.setdefault(metric, []).append(value)
                self._count += 1
                break
        self._longest = max(self._longest, time.monotonic() - began)
        self._spent += time.monotonic() - began

    def measured(self, metric: Metric, planned: int) -> Measured | None:
        """None if the contender has nothing of this kind. `planned` is how many turns it should have had."""
        trouble = self.trouble or self._untaken
        if not trouble and metric not in self._taken:
            return None
        if not trouble and any(math.isnan(each) for each in self._taken[metric]):
            trouble = "TOO FEW: too few answers in a sample to tell"
        samples = () if trouble else tuple(self._taken[metric])
        limits = self._taken.get(SENDER_IS_THE_LIMIT, ())
        notes = [f"once it failed: {error}" for error in self._failed]
        if 0 < self._count < planned:
            notes.append(f"it had {self._count} of {planned} turns, for lack of time")
        if self._entrant.unsettled:
            notes.append("it was still busy with its start")
        if 2 * sum(limits) > len(limits):
            notes.append(AT_LEAST)
        return Measured(metric, self._entrant.name, self._entrant.services, samples, trouble, tuple(notes))


@contextmanager
def arena(
    services: int,
    contenders: Sequence[Contender],
    plan: Plan,
    site: Site | None = None,
    excused: Mapping[str, str] | None = None,
    kubeconfig: Path | None = None,
    deadline: Deadline = NEVER,
) -> Iterator[Arena]:
    """Build a world for each, start everybody one after the other, and take all away at the end.

    Worlds are made on this machine, or where `site` says. Those who are `excused`, for the reason that is told, are
    not started. The API server is the lab's, or that of a `kubeconfig`. Nobody waits longer than until the `deadline`.
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
        api: ApiRequests
        if kubeconfig:
            api = ClusterApi(kubeconfig, services, listeners, with_endpoints=with_endpoints)
        else:
            api = Api(services, listeners, with_endpoints=with_endpoints)
        stack.callback(api.close)
        stack.enter_context(site.reaching(api.port))
        for entrant in entrants:
            entrant.trouble = (excused or {}).get(entrant.name, "")
            if entrant.trouble:
                continue
            _start(entrant, plan.start_limit, deadline)
            with entrant.turn():  # and then stand still until it is asked
                time.sleep(0.1)
        yield Arena(services, entrants, api, plan, deadline)


def _start(entrant: Entrant, limit: float, deadline: Deadline) -> None:
    """Start it, unless the time is over. Whom the end of the run kept from being ready was not slow."""
    seconds = min(limit, deadline.left)
    if seconds > 0:
        entrant.start(seconds)
    if seconds <= 0 or (seconds < limit and entrant.trouble.startswith("TOO SLOW")):
        entrant.trouble = "NO TIME: the run was over before it was ready"
