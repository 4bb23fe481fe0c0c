"""What was measured, as it is written to a file and read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

FORMAT = 1
AT_LEAST = "at least: the sender could not do more"  #: a note


@dataclass(frozen=True)
class Metric:
    """What a figure is: the same for everybody."""

    question: str  #: as its file asks it
    name: str  #: what is counted
    unit: str
    more_is_better: bool
    case: str = ""  #: what with, as in "18 bytes, 64 flows"
    compared: bool = True  #: with other contenders; False where a ratio says nothing


@dataclass(frozen=True)
class Measured:
    """One contender's samples of one metric; or in their place why there are none."""

    metric: Metric
    contender: str
    services: int
    samples: Sequence[float] = ()
    trouble: str = ""  #: starts with ABSENT, TOO SLOW, TOO FEW, NO TIME or BROKEN
    notes: Sequence[str] = ()
    bar: float | None = None  #: what should be reached, in the same unit

    @property
    def at_least(self) -> bool:
        """Whether the sender was the limit."""
        return AT_LEAST in self.notes

    @property
    def value(self) -> float | None:
        return median(self.samples) if self.samples and not self.trouble else None


@dataclass
class Results:
    """A whole run."""

    machine: dict[str, str]
    method: dict[str, str]
    contenders: dict[str, str]  #: with their versions
    measured: list[Measured] = field(default_factory=list)
    unanswered: dict[str, str] = field(default_factory=dict)  #: questions without figures, and why

    def about(self) -> dict[str, str]:
        """What a figure is worth nothing without: the machine, the versions, the time."""
        by_version: dict[str, list[str]] = {}
        for name, version in self.contenders.items():
            family, _, mode = name.partition(" ")
            if version:
                by_version.setdefault(f"{family} {version}", []).append(mode)
        return self.machine | {version: ", ".join(modes) for version, modes in by_version.items()}

    def save(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        contents = {"format": FORMAT} | asdict(self)
        new = file.with_name(f"{file.name}.new")  # whoever reads it meanwhile, or after a crash, finds a whole one
        new.write_text(json.dumps(contents, indent=1) + "\n")
        new.replace(file)

    @staticmethod
    def load(file: Path) -> Results:
        """ValueError if the file holds no results."""
        contents: dict[str, Any] = json.loads(file.read_text())
        if contents.get("format") != FORMAT:
            raise ValueError(f"{file}: expected results in format {FORMAT}")
        measured = [_measured(each) for each in contents["measured"]]
        unanswered = contents.get("unanswered", {})  # runs of old have none
        return Results(contents["machine"], contents["method"], contents["contenders"], measured, unanswered)


def _measured(each: dict[str, Any]) -> Measured:
    samples, notes = tuple(each["samples"]), tuple(each["notes"])
    metric = Metric(**each["metric"])
    return Measured(metric, each["contender"], each["services"], samples, each["trouble"], notes, each.get("bar"))
