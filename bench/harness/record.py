"""What a run has measured so far: saved after each question, so that whatever happens next, it stays."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.figure import Figure
from bench.harness import machine
from bench.harness.arena import Plan
from bench.harness.deadline import Deadline
from bench.harness.results import Measured, Metric, Results
from bench.workload import ENDPOINTS


class Record:
    """Where all figures of a run go, and the file that they are saved in."""

    def __init__(self, results: Results, file: Path) -> None:
        self.results = results
        self.file = file
        self._noise = machine.Noise()
        self._sheets: dict[str, list[Figure]] = {}

    def add(self, measured: Sequence[Measured]) -> None:
        self.results.measured.extend(measured)

    def sheet(self, question: str) -> list[Figure]:
        """Where the figures of a question go that are one value each, of which less is better."""
        return self._sheets.setdefault(question, [])

    def so_far(self) -> Results:
        """All that was measured."""
        single = [_measured(question, figure) for question, figures in self._sheets.items() for figure in figures]
        about = self.results.machine | self._noise.told()
        return replace(self.results, machine=about, measured=[*self.results.measured, *single])

    def save(self) -> None:
        """All so far. Nothing if there is nothing."""
        results = self.so_far()
        if results.measured or results.unanswered:
            results.save(self.file)


def _measured(question: str, figure: Figure) -> Measured:
    case = "" if figure.endpoints == ENDPOINTS else f"{figure.endpoints:,} endpoints each"
    metric = Metric(question, figure.what, figure.unit, more_is_better=False, case=case)
    samples = () if figure.value is None else (figure.value,)
    return Measured(metric, figure.subject, figure.services, samples, figure.trouble, bar=figure.bar)


class Session:
    """What a run of pytest needs from its beginning to its end: its record, and the time that is left."""

    NAME = "bench-session"  #: of the plugin that it is
    LONGEST = 1800.0  #: seconds for one question
    GRACE = 120.0  #: seconds for the question that is being asked when the time is over

    def __init__(self, plan: Plan, file: Path, minutes: float | None) -> None:
        """After so many `minutes` no further question is asked; a little later the one that is asked is given up."""
        method = {"rounds": str(plan.rounds), "seconds of a sample": f"{plan.seconds:g}"}
        self.record = Record(Results(machine.describe(), method, {}), file)
        self.deadline = Deadline() if minutes is None else Deadline.after(60 * minutes)
        self._minutes = minutes

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        # Whoever is closer comes first: a question that takes longer says so itself.
        longest = next((mark.args[0] for mark in item.iter_markers("timeout")), self.LONGEST)
        seconds = min(longest or math.inf, max(0.0, self.deadline.left) + self.GRACE)
        item.add_marker(pytest.mark.timeout(0 if math.isinf(seconds) else seconds), append=False)
        return (yield)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self.deadline.over:
            self.record.results.unanswered[item.name] = "NO TIME: the run was over before it was asked"
            pytest.skip(f"{self._minutes:g} minutes are over")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            said = (crash.message if crash else report.longreprtext).strip().splitlines() or [""]
            self.record.results.unanswered[report.nodeid.rpartition("::")[2]] = f"BROKEN: {said[0]}"

    def pytest_runtest_logfinish(self) -> None:
        self.record.save()
