"""What a run has measured so far: saved after each question, so that whatever happens next, it stays."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import report
from bench.harness import machine
from bench.harness.arena import Plan
from bench.harness.results import Measured, Metric, Results
from bench.report import Figure
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

    @property
    def sheets(self) -> Mapping[str, Sequence[Figure]]:
        return {question: figures for question, figures in self._sheets.items() if figures}

    def save(self) -> None:
        """All so far. Nothing if there is nothing."""
        single = [
            Measured(
                Metric(question, figure.what, figure.unit, more_is_better=False, case=_case(figure)),
                figure.subject,
                figure.services,
                (figure.value,),
                bar=figure.bar,
            )
            for question, figures in self._sheets.items()
            for figure in figures
        ]
        if single or self.results.measured:
            about = self.results.machine | self._noise.told()
            replace(self.results, machine=about, measured=[*self.results.measured, *single]).save(self.file)


def _case(figure: Figure) -> str:
    return "" if figure.endpoints == ENDPOINTS else f"{figure.endpoints:,} endpoints each"


class Session:
    """What a run of pytest needs from its beginning to its end: its record, and the time that is left."""

    NAME = "bench-session"  #: of the plugin that it is

    def __init__(self, plan: Plan, file: Path, minutes: float | None) -> None:
        """After so many `minutes` no further question is asked."""
        method = {"rounds": str(plan.rounds), "seconds of a sample": f"{plan.seconds:g}"}
        self.record = Record(Results(machine.describe(), method, {}), file)
        self._minutes = minutes
        self._began = time.monotonic()
        self._not_asked: list[str] = []

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self._minutes is not None and time.monotonic() - self._began > 60 * self._minutes:
            self._not_asked.append(item.name)
            self.record.results.machine["not asked, for lack of time"] = ", ".join(self._not_asked)
            pytest.skip(f"{self._minutes:g} minutes are over")

    def pytest_runtest_logfinish(self) -> None:
        self.record.save()

    def pytest_terminal_summary(self) -> None:
        self.record.save()
        for question, figures in self.record.sheets.items():
            report.show(question, figures)
        if self.record.file.exists():
            print(f"\nsaved as {self.record.file}; bench/report {self.record.file} makes a page of it")
