"""Figures as they are measured, a table of them for people, and a file of them for programs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.workload import ENDPOINTS


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `bar` is the most it should be, in the same unit; nothing fails if it is more.

    `endpoints` are those of each Service.
    """

    subject: str  #: who was measured: svcplane, or a contender
    services: int
    what: str
    value: float
    unit: str
    bar: float | None = None
    endpoints: int = ENDPOINTS

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""
        return "reached" if self.value <= self.bar else "MISSED"


def table(title: str, figures: Sequence[Figure]) -> Table:
    """Contenders stand under the figure of ours that they are to be compared with, with how many times it they took."""
    ours = {(f.services, f.endpoints, f.what): f.value for f in figures if f.subject == "svcplane"}
    result = Table(title=title, title_justify="left")
    for heading in ("Services x endpoints", "what", "who"):
        result.add_column(heading)
    for heading in ("measured", "bar", "times ours"):
        result.add_column(heading, justify="right")
    result.add_column("")
    for figure in sorted(figures, key=lambda f: (f.services * f.endpoints, f.services)):
        base = ours.get((figure.services, figure.endpoints, figure.what))
        times = f"{figure.value / base:.1f}" if base and figure.subject != "svcplane" else ""
        result.add_row(
            f"{figure.services:,} x {figure.endpoints:,}",
            figure.what,
            figure.subject,
            f"{_digits(figure.value)} {figure.unit}",
            f"{figure.bar:g} {figure.unit}" if figure.bar is not None else "",
            times,
            figure.verdict,
        )
    return result


def show(title: str, figures: Sequence[Figure]) -> None:
    console = Console(width=None if Console().is_terminal else 120)
    console.print()
    console.print(table(title, figures))
    machine = describe_machine()
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), highlight=False)


def save(file: Path, figures: Sequence[Figure]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    contents = {"machine": describe_machine(), "figures": [asdict(f) for f in figures]}
    file.write_text(json.dumps(contents, indent=2) + "\n")


def describe_machine() -> dict[str, str]:
    """What a figure is worth nothing without."""
    return {
        "kernel": platform.release(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "nft": subprocess.run(["nft", "--version"], capture_output=True, text=True).stdout.split()[1].lstrip("v"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _digits(value: float) -> str:
    """Three that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
