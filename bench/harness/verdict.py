"""What a ratio to somebody else says in a word: so that whoever measures again reads the same word.

Words change at an edge, and a ratio near an edge may fall on either side of it when it is measured again. Nothing
mends that but an edge where few ratios are, noise that is known, and saying so:

- Most of what is compared differs by less than a quarter (one kernel does the work of most contenders), so the edge is
  beyond that; and the whole interval must be on one side of 1.
- Two runs differ by more than the rounds of one run do among themselves: memory lies elsewhere, neighbours are others.
  Of 132 ratios, in two runs on one machine two hours apart, half differed by less than 12 %, and two thirds by less
  than 18 % (RUNS_DIFFER is between the two). A verdict that would be another one if the ratio were so much more or
  less is close, and is told as that: another run may give its neighbour. What is not close, another run confirms.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bench.harness.statistics import Ratio

MATTERS = 0.25  #: a difference of less than this part is not told as one, however sure it is
RUNS_DIFFER = 0.15  #: what a ratio may well differ by from one run to the next


class Verdict(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no clear difference"


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    close: bool  #: whether another run may well say otherwise

    def __str__(self) -> str:
        return f"{self.verdict}, but close" if self.close else str(self.verdict)


def judge(ratio: Ratio, *, more_is_better: bool) -> Judgement:
    """The verdict, and whether another run may well give another one."""
    factor = 1 + RUNS_DIFFER
    told, *nearby = (verdict(ratio.times(each), more_is_better=more_is_better) for each in (1, factor, 1 / factor))
    return Judgement(told, any(other is not told for other in nearby))


def verdict(ratio: Ratio, *, more_is_better: bool, matters: float = MATTERS) -> Verdict:
    """Better and worse are said only if the whole interval says so, and the difference is one that matters."""
    if ratio.low > 1 and ratio.value > 1 + matters:
        return Verdict.BETTER if more_is_better else Verdict.WORSE
    if ratio.high < 1 and ratio.value < 1 / (1 + matters):
        return Verdict.WORSE if more_is_better else Verdict.BETTER
    return Verdict.NO_DIFFERENCE
