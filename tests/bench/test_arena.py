"""Contenders that are wrong, slow or absent: told as that, and never as fast."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import pytest

from bench.harness.arena import SENDER_IS_THE_LIMIT, Arena, Plan, Sample, arena
from bench.harness.check import TooLateError
from bench.harness.contenders import CEILING, Contender, chosen, everybody
from bench.harness.deadline import Deadline
from bench.harness.entrant import Entrant
from bench.harness.generators import ask, time_at
from bench.harness.host import CommandFailedError
from bench.harness.results import AT_LEAST, Measured, Metric
from dataplane.errors import InputError

RATE = Metric("How fast?", "rate", "a second", more_is_better=True)
PLAN = Plan(rounds=3, seconds=0.1, warm_up=0, start_limit=20)


class Made(Entrant):
    """One that has no machines: it is right until its `patience` with checks is at its end."""

    def __init__(self, name: str, patience: int = 1000) -> None:
        self.contender = Contender(name)
        self.services = 10
        self.trouble = ""
        self.patience = patience
        self.unsettled = False
        self._agent = None

    def verify(self) -> None:
        self.patience -= 1
        if self.patience < 0:
            self.trouble = "BROKEN: wrong"


def measure(*entrants: Entrant, sample: Callable[[Entrant, float], Sample]) -> dict[str, Measured]:
    made = Arena(10, entrants, None, PLAN)  # type: ignore[arg-type]  # no API server is asked for anything
    return {each.contender: each for each in made.measure([RATE], sample)}


def test_samples_are_taken_in_turns() -> None:
    order = []

    def sample(entrant: Entrant, _: float) -> Sample:
        order.append(entrant.name)
        return {RATE: 1.0}

    arena_of_two = Arena(10, [Made("a"), Made("b")], None, PLAN)  # type: ignore[arg-type]
    arena_of_two.measure([RATE], sample, warm_up=False)
    assert order == ["a", "b"] * PLAN.rounds


def test_who_is_wrong_before_is_not_measured() -> None:
    figures = measure(Made("right"), Made("wrong", patience=0), sample=lambda entrant, _: {RATE: 1e9})
    assert figures["wrong"].trouble == "BROKEN: wrong"
    assert figures["wrong"].samples == ()
    assert figures["wrong"].value is None
    assert figures["right"].value == 1e9


def test_who_is_wrong_after_is_not_fast() -> None:
    figures = measure(Made("wrong", patience=1), sample=lambda entrant, _: {RATE: 1e9})
    assert figures["wrong"].trouble == "BROKEN: wrong"
    assert figures["wrong"].value is None


def test_who_fails_while_it_is_measured_is_broken() -> None:
    def sample(entrant: Entrant, _: float) -> Sample:
        if entrant.name == "failing":
            raise CommandFailedError("no answer")
        return {RATE: 1.0}

    figures = measure(Made("right"), Made("failing"), sample=sample)
    assert figures["failing"].trouble == "BROKEN: no answer"
    assert figures["right"].value == 1.0


def test_who_fails_once_is_asked_again_and_that_is_noted() -> None:
    failures = iter([False, True, False])

    def sample(entrant: Entrant, _: float) -> Sample:
        if next(failures, False):
            raise CommandFailedError("no answer")
        return {RATE: 1.0}

    figures = measure(Made("a"), sample=sample)
    assert figures["a"].samples == (1.0,) * PLAN.rounds
    assert figures["a"].notes == ("once it failed: no answer",)


def test_who_is_broken_in_one_question_may_answer_the_next() -> None:
    entrant = Made("a")
    arena_of_one = Arena(10, [entrant], None, PLAN)  # type: ignore[arg-type]

    def failing(entrant: Entrant, _: float) -> Sample:
        raise CommandFailedError("no answer")

    (first,) = arena_of_one.measure([RATE], failing)
    (second,) = arena_of_one.measure([RATE], lambda entrant, _: {RATE: 1.0})
    assert (first.trouble, first.value) == ("BROKEN: no answer", None)
    assert (second.trouble, second.value) == ("", 1.0)


def test_a_question_that_has_had_its_time_is_asked_no_more_and_that_is_noted() -> None:
    arena_of_two = Arena(10, [Made("a"), Made("b")], None, replace(PLAN, question_limit=0))  # type: ignore[arg-type]
    for figures in arena_of_two.measure([RATE], lambda entrant, _: {RATE: 1.0}):
        assert figures.samples == (1.0,)  # one whole round
        assert figures.notes == ("it had 1 of 3 turns, for lack of time",)


def test_who_is_late_is_too_slow_and_is_not_asked_again() -> None:
    asked = []

    def sample(entrant: Entrant, _: float) -> Sample:
        asked.append(entrant.name)
        if entrant.name == "slow":
            raise TooLateError("more than 60 s for one change")
        return {RATE: 1.0}

    figures = measure(Made("slow"), Made("quick"), sample=sample)
    assert (figures["slow"].trouble, figures["slow"].value) == ("TOO SLOW: more than 60 s for one change", None)
    assert figures["quick"].value == 1.0
    assert asked.count("slow") == 1


def test_what_too_few_answers_tell_is_no_number() -> None:
    figures = measure(Made("a"), Made("b"), sample=lambda entrant, _: {RATE: 1.0 if entrant.name == "a" else math.nan})
    assert figures["a"].value == 1.0
    assert (figures["b"].trouble, figures["b"].samples) == ("TOO FEW: too few answers in a sample to tell", ())


def test_a_percentile_of_connections_needs_answers_beyond_it() -> None:
    asked = {"seconds": 0.25, "connecting": {"count": 150, "p95_us": 90.0, "p99_us": 120.0}}
    assert time_at(asked, 95) == 90
    assert math.isnan(time_at(asked, 99))
    nobody = {"seconds": 0.25, "connecting": {"count": 0, "p99_us": 0.0}}
    assert time_at(nobody, 99) == 250_000  # all had to wait for so long, or longer


def test_who_needs_half_of_the_time_of_a_question_leaves_the_rest_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def sample(entrant: Entrant, _: float) -> Sample:
        clock[0] += 50 if entrant.name == "slow" else 1
        return {RATE: 1.0}

    limited = replace(PLAN, rounds=6, question_limit=240)
    arena_of_two = Arena(10, [Made("slow"), Made("quick")], None, limited)  # type: ignore[arg-type]
    slow, quick = arena_of_two.measure([RATE], sample, warm_up=False)
    assert len(slow.samples) == 2  # a third would end after 150 s
    assert slow.notes == ("it had 2 of 6 turns, for lack of time",)
    assert len(quick.samples) == 6


def test_each_contender_has_a_lock_of_its_own_for_iptables(tmp_path: Path) -> None:
    started: list[str] = []

    class Node:
        def bring(self, file: Path) -> str:
            return str(file)

        def start(self, words: Sequence[str], *, log: object) -> None:
            started.extend(word for word in words if word.startswith("XTABLES_LOCKFILE="))

    world = SimpleNamespace(node=Node())
    for name in ("svcplane iptables-legacy", "kube-proxy iptables-legacy"):
        contender = Contender(name, command=("true",))
        Entrant(contender, world, None, 10, tmp_path)._start_agent()  # type: ignore[arg-type]
    assert len(set(started)) == 2


def test_when_the_run_is_over_nobody_has_a_turn_and_that_is_no_zero() -> None:
    late = Arena(10, [Made("a")], None, PLAN, Deadline.after(0))  # type: ignore[arg-type]
    (figures,) = late.measure([RATE], lambda entrant, _: {RATE: 1.0})
    assert (figures.trouble, figures.value) == ("NO TIME: the run was over before its turn", None)


def test_a_sender_that_is_the_limit_is_told() -> None:
    figures = measure(Made("a"), sample=lambda entrant, _: {RATE: 1.0, SENDER_IS_THE_LIMIT: 1.0})
    assert figures["a"].notes == (AT_LEAST,)


def test_contenders_are_chosen_by_patterns_and_the_ceiling_always() -> None:
    found = [Contender(CEILING), Contender("svcplane nftables", command=["x"]), Contender("other", command=["x"])]
    assert [each.name for each in chosen(found, "svcplane*")] == [CEILING, "svcplane nftables"]
    with pytest.raises(InputError, match="expected patterns that match some of"):
        chosen(found, "nobody")


def test_a_kube_proxy_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="expected a kube-proxy"):
        everybody("/bin/true")


@pytest.fixture
def nftables() -> Contender:
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    return next(each for each in everybody(None) if each.name == "svcplane nftables")


@pytest.mark.kernel
@pytest.mark.timeout(240)
def test_one_that_is_slowed_is_slow(nftables: Contender) -> None:
    slowly = (
        "sh",
        "-c",
        "iptables-legacy -w -t raw -A PREROUTING -p tcp --syn -m limit --limit 10/s --limit-burst 200 -j ACCEPT;"
        'iptables-legacy -w -t raw -A PREROUTING -i pod-c1 -p tcp --syn -j DROP; exec "$@"',
        "sh",
    )
    slowed = replace(nftables, name="slowed", command=(*slowly, *nftables.command))

    def connections(entrant: Entrant, seconds: float) -> Sample:
        asked = ask(entrant.world, entrant.target(), seconds, concurrency=8)
        return {RATE: asked["finished"] / asked["seconds"]}

    with arena(3, [nftables, slowed], replace(PLAN, seconds=1.0, start_limit=90)) as both:
        for entrant in both.entrants:
            if entrant.name == "slowed":
                entrant.verify = lambda: None  # type: ignore[method-assign]  # what it lets through is right
        figures = {each.contender: each for each in both.measure([RATE], connections)}
    assert not any(each.trouble for each in figures.values()), figures
    assert median(figures["slowed"].samples) < median(figures["svcplane nftables"].samples) / 2


@pytest.mark.kernel
@pytest.mark.timeout(240)
def test_those_that_end_or_do_nothing_or_are_absent_are_told_as_that() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    contenders = [
        Contender("ends", command=["sh", "-c", "echo no idea >&2; exit 3"]),
        Contender("does nothing", command=["sleep", "1000"]),
        Contender("absent", command=["true"], absent="not on this machine"),
    ]
    with arena(3, contenders, replace(PLAN, start_limit=8)) as everyone:
        figures = {each.contender: each for each in everyone.measure([RATE], lambda entrant, _: {RATE: 1e9})}
        does_nothing = next(entrant for entrant in everyone.entrants if entrant.name == "does nothing")
        assert not does_nothing.running  # it would disturb the others
    assert figures["absent"].trouble == "ABSENT: not on this machine"
    assert figures["ends"].trouble.startswith("BROKEN: it ended: no idea")
    assert figures["does nothing"].trouble.startswith("TOO SLOW: not ready after 8 s")
    assert all(each.value is None for each in figures.values())
