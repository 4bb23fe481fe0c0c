"""What a few samples allow to be said: medians, their spread, and ratios with confidence intervals.

Samples of two contenders are taken in turns (A B A B), so the n-th of one and the n-th of the other met the same
machine in the same mood. A ratio is therefore taken round by round. Its interval is that of the sign test: between two
of the rounds' ratios, counted from both ends. It supposes nothing about how noise is distributed, and one round of nine
that was disturbed does not move it. Two runs have no rounds in common: there the interval is by resampling (bootstrap,
percentile method; Efron, 1979), seeded. The same samples always give the same words.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

CONFIDENCE = 0.95
BEYOND = 2  #: samples that must lie beyond a quantile: of fewer it is but the largest, whatever it is called
RESAMPLES = 2000
FEWEST = 6  #: samples; that all of fewer rounds point one way is chance too often: once in 16 with five

__all__ = [
    "Ratio",
    "chi_square",
    "median",
    "paired_ratio",
    "quantile",
    "sign_interval",
    "spread",
    "tells",
    "unpaired_ratio",
]


@dataclass(frozen=True)
class Ratio:
    """A ratio of medians, and between what it lies with 95 % confidence."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Ratio:
        """With all three so many times as large."""
        return Ratio(factor * self.value, factor * self.low, factor * self.high)


def spread(samples: Sequence[float]) -> float:
    """How far apart the middle half of the samples is, as a part of their median. 0 for a single one."""
    middle = median(samples)
    if len(samples) < 2 or middle == 0:
        return 0.0
    ordered = sorted(samples)
    return abs(_quantile(ordered, 0.75) - _quantile(ordered, 0.25)) / abs(middle)


def tells(count: int, part: float) -> bool:
    """Whether so many samples tell a quantile: 200 tell a 99th percentile, 40 a 95th."""
    return count * (1 - part) > BEYOND - 1e-6


def quantile(samples: Sequence[float], part: float) -> float | None:
    """That of so many samples (0.99: the 99th percentile), between the two next to it. None if they are too few."""
    return _quantile(sorted(samples), part) if tells(len(samples), part) else None


def paired_ratio(samples: Sequence[float], base: Sequence[float]) -> Ratio | None:
    """Of samples that were taken in turns. None where nothing can be divided."""
    rounds = [(a, b) for a, b in zip(samples, base, strict=False) if b > 0]
    if not rounds:
        return None
    ratios = [a / b for a, b in rounds]
    if len(ratios) < FEWEST:
        return Ratio(median(ratios), 0, math.inf)
    return Ratio(median(ratios), *sign_interval(ratios))


def sign_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Between what the median lies, by the sign test: with n samples, the k-th from below and from above, where fewer
    than k heads in n throws of a coin are as unlikely as half of what CONFIDENCE leaves. At least FEWEST samples.
    """
    count, below, chance = len(samples), 0, 0.5 ** len(samples)
    while chance <= (1 - CONFIDENCE) / 2:
        below += 1
        chance += math.comb(count, below) * 0.5**count
    ordered = sorted(samples)
    return ordered[below - 1], ordered[-below]


def unpaired_ratio(samples: Sequence[float], base: Sequence[float]) -> Ratio | None:
    """Of samples that have nothing to do with each other, as of two runs. None where nothing can be divided."""
    if not samples or not base or min(base) <= 0:
        return None
    if min(len(samples), len(base)) < FEWEST:
        return Ratio(median(samples) / median(base), 0, math.inf)
    chance = random.Random(len(samples) + len(base))
    resampled = sorted(
        median(chance.choices(samples, k=len(samples))) / median(chance.choices(base, k=len(base)))
        for _ in range(RESAMPLES)
    )
    return _interval(median(samples) / median(base), resampled)


def chi_square(counts: Sequence[int]) -> float:
    """How likely counts as uneven as these are, or more so, if all were as likely: the p-value (Pearson, 1900)."""
    expected = sum(counts) / len(counts)
    if expected == 0:
        return 0.0
    statistic = sum((count - expected) ** 2 / expected for count in counts)
    return _chi_square_tail(statistic, len(counts) - 1)


def _chi_square_tail(x: float, freedom: int) -> float:
    """Q(freedom/2, x/2), by its recurrence (Abramowitz and Stegun, 26.4.4 and 26.4.5)."""
    half = x / 2
    if freedom % 2:
        tail, degree = math.erfc(math.sqrt(half)), 0.5
    else:
        tail, degree = math.exp(-half), 1.0
    while degree < freedom / 2:
        tail += math.exp(degree * math.log(half) - half - math.lgamma(degree + 1)) if half else 0.0
        degree += 1
    return min(tail, 1.0)


def _interval(value: float, resampled: Sequence[float]) -> Ratio:
    edge = (1 - CONFIDENCE) / 2
    return Ratio(value, _quantile(resampled, edge), _quantile(resampled, 1 - edge))


def _quantile(ordered: Sequence[float], part: float) -> float:
    assert all(a <= b for a, b in pairwise(ordered))
    position = part * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
