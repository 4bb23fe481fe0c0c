"""What a probe saw, and whether that is what was expected."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from conformance.cases import Expectation

# Where the chi-square distribution leaves one in a milliard to chance, by degrees of freedom (pods less one): some
# thirty times in a run of all tests it is asked.
_CHI_SQUARE = {1: 37.32, 2: 41.45, 3: 44.84, 4: 47.88, 5: 50.69, 6: 53.34}


@dataclass
class Observed:
    """Answers by pod, whom the pods saw, and what went wrong."""

    pods: Counter[str] = field(default_factory=Counter)
    sources: set[str] = field(default_factory=set)
    errors: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return f"pods {dict(self.pods)}, src {self.sources or '{}'}, err {self.errors or '{}'}"

    def add(self, more: Observed) -> None:
        self.pods += more.pods
        self.sources |= more.sources
        self.errors |= more.errors


def surprises(seen: Observed, expected: Expectation) -> list[str]:
    """What was seen although it should not be. More tries cannot mend it."""
    found = [
        f"unexpected {name} {sorted(got - wanted)}"
        for name, got, wanted in _sets(seen, expected)
        if wanted is not None and got - wanted
    ]
    if expected.one and len(seen.pods) > 1:
        found.append(f"several pods answered: {dict(seen.pods)}")
    if expected.among is not None and set(seen.pods) - expected.among:
        found.append(f"unexpected pods {sorted(set(seen.pods) - expected.among)}")
    return found


def missing(seen: Observed, expected: Expectation) -> list[str]:
    """What was not seen although it should be. Chance may have passed it by so far."""
    found = [
        f"missing {name} {sorted(wanted - got)}"
        for name, got, wanted in _sets(seen, expected)
        if wanted is not None and wanted - got
    ]
    if expected.one and not seen.pods:
        found.append("nobody answered")
    if expected.many and len(seen.pods) < 2:
        found.append(f"only one pod answered: {dict(seen.pods)}")
    return found


def _sets(seen: Observed, expected: Expectation) -> tuple[tuple[str, set[str], frozenset[str] | None], ...]:
    return (
        ("pods", set(seen.pods), expected.pods),
        ("src", seen.sources, expected.src),
        ("err", seen.errors, expected.err),
    )


def is_even(counts: Counter[str]) -> bool:
    """The chi-square test that all of these are equally likely; wrong once in a milliard."""
    if len(counts) < 2:
        return False
    even = counts.total() / len(counts)
    statistic = sum((count - even) ** 2 / even for count in counts.values())
    return statistic <= _CHI_SQUARE[len(counts) - 1]
