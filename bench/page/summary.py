"""From samples to what a table says: the same for the page, the Markdown, and the comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from statistics import median

from bench.harness.contenders import CEILING
from bench.harness.results import AT_LEAST, Measured, Metric, Results
from bench.harness.statistics import Ratio, paired_ratio, spread
from bench.harness.verdict import Judgement, judge

USUAL = 1000  #: Services, in a cluster of a size that many have
#: More than these, and a machine was not quiet: parts of its processors' time, and of a median.
_BUSY, _STOLEN, _NOISE = 0.10, 0.05, 0.30


@dataclass(frozen=True)
class Chapter:
    """One question, and its figures: one group for each metric and case."""

    question: str
    groups: Sequence[Group]


@dataclass(frozen=True)
class Group:
    """All that was measured of one metric: by contender, by number of Services."""

    metric: Metric
    measured: Sequence[Measured]

    @property
    def title(self) -> str:
        return f"{self.metric.name}: {self.metric.case}" if self.metric.case else self.metric.name

    @cached_property
    def services(self) -> list[int]:
        return sorted({each.services for each in self.measured})

    @cached_property
    def contenders(self) -> list[str]:
        return list(dict.fromkeys(each.contender for each in self.measured))

    def of(self, contender: str, services: int) -> Measured | None:
        return next((m for m in self.measured if m.contender == contender and m.services == services), None)

    def best_kube_proxy(self, services: int) -> Measured | None:
        """The one whose median is best; a mode of kube-proxy is compared with nobody."""
        theirs = [
            m
            for m in self.measured
            if m.contender.startswith("kube-proxy") and m.services == services and m.value is not None
        ]
        key = (lambda m: -m.value) if self.metric.more_is_better else (lambda m: m.value)
        return min(theirs, key=key, default=None)

    @property
    def telling_sizes(self) -> list[int]:
        """Numbers of Services for an overview, of those that a kube-proxy was measured with: a usual one, at which it
        may well be better, and the largest."""
        measured = [services for services in self.services if self.best_kube_proxy(services)]
        return sorted({USUAL, measured[-1]} & set(measured)) if measured else []

    def rows(self) -> list[Row]:
        return [self._row(m) for m in sorted(self.measured, key=lambda m: m.services)]

    def _row(self, measured: Measured) -> Row:
        if not self.metric.compared:
            return Row(measured, None, None, None)
        ceiling = self.of(CEILING, measured.services)
        theirs = None if measured.contender.startswith("kube-proxy") else self.best_kube_proxy(measured.services)
        to_ceiling = _ratio(measured, ceiling if measured.contender != CEILING else None)
        to_kube_proxy = _ratio(measured, theirs if measured.contender != CEILING else None)
        judged = None
        if to_kube_proxy is not None and isfinite(to_kube_proxy.high):  # once is no verdict
            judged = judge(to_kube_proxy, more_is_better=self.metric.more_is_better)
        return Row(measured, to_ceiling, to_kube_proxy, judged)


@dataclass(frozen=True)
class Glance:
    """One line of the overview: each of ours beside the best of kube-proxy's, with so many Services."""

    chapter: Chapter
    group: Group
    services: int
    cells: Mapping[str, tuple[str, str]]  #: by contender: what is said, and the verdict

    @property
    def title(self) -> str:
        return ", ".join(part for part in (self.group.metric.name, self.group.metric.case) if part)


@dataclass(frozen=True)
class Row:
    measured: Measured
    to_ceiling: Ratio | None
    to_kube_proxy: Ratio | None  #: to the best of its modes
    judged: Judgement | None  #: of that ratio; None if too little is known for a verdict

    @property
    def verdict(self) -> str:
        """In a word; "" without one."""
        return str(self.judged.verdict) if self.judged else ""

    @property
    def told_verdict(self) -> str:
        """With what a reader should know of it."""
        return str(self.judged) if self.judged else ""

    @property
    def value(self) -> str:
        """With its unit; or, in a word or two, why there is none."""
        return self.figure_or_trouble + ("" if self.measured.trouble else f" {self.measured.metric.unit}")

    @property
    def figure_or_trouble(self) -> str:
        """Without its unit."""
        return self.measured.trouble.split(":")[0] if self.measured.trouble else self.figure

    @property
    def figure(self) -> str:
        """The median, without its unit."""
        return "≥ " * self.measured.at_least + digits(median(self.measured.samples))

    @property
    def spread(self) -> str:
        return f"±{50 * spread(self.measured.samples):.0f} %" if len(self.measured.samples) > 1 else ""


def chapters(results: Results) -> list[Chapter]:
    """In the order in which they were first measured."""
    by_question: dict[str, dict[Metric, list[Measured]]] = {}
    for each in results.measured:
        by_question.setdefault(each.metric.question, {}).setdefault(each.metric, []).append(each)
    return [
        Chapter(question, [Group(metric, measured) for metric, measured in groups.items()])
        for question, groups in by_question.items()
    ]


def glances(results: Results) -> tuple[list[str], list[Glance]]:
    """The contenders of the overview, and its lines. Empty where there is no kube-proxy to compare with."""
    lines = []
    for chapter in chapters(results):
        for group in chapter.groups:
            for services in group.telling_sizes if group.metric.compared else ():
                rows = [row for row in group.rows() if row.measured.services == services]
                cells = {r.measured.contender: _cell(r) for r in rows if r.measured.contender.startswith("svcplane")}
                lines.append(Glance(chapter, group, services, cells))
    measured = {name for line in lines for name, (_, verdict) in line.cells.items() if verdict != "trouble"}
    names = dict.fromkeys([*results.contenders, *(name for line in lines for name in line.cells)])
    return [name for name in names if name in measured], lines


def _cell(row: Row) -> tuple[str, str]:
    if row.measured.trouble:
        return row.value, "trouble"
    if row.to_kube_proxy is None:
        return row.value, ""
    close = "?" if row.judged and row.judged.close else ""
    return times(row.to_kube_proxy.value) + close, row.verdict


def troubles(results: Results) -> list[tuple[str, str]]:
    """Each reason why something was not measured, and whom it kept; then each question that nobody answered."""
    kept = _together((m.trouble, m) for m in results.measured if m.trouble)
    return [*kept, *((name, in_one_line(why)) for name, why in results.unanswered.items())]


def remarks(results: Results) -> list[tuple[str, str]]:
    """Who was measured, but something should be known of it."""
    return _together((note, m) for m in results.measured for note in m.notes if note != AT_LEAST)


def _together(said: Iterable[tuple[str, Measured]]) -> list[tuple[str, str]]:
    """Of whom it was said, as in "a, b, 10 / 1,000 Services", and what: each text once."""
    by_text: dict[str, dict[str, list[int]]] = {}
    for text, measured in said:
        of = by_text.setdefault(in_one_line(text), {}).setdefault(measured.contender, [])
        if measured.services not in of:
            of.append(measured.services)
    return [(_whom(contenders), text) for text, contenders in by_text.items()]


def _whom(contenders: Mapping[str, Sequence[int]]) -> str:
    by_sizes: dict[tuple[int, ...], list[str]] = {}
    for name, sizes in contenders.items():
        by_sizes.setdefault(tuple(sorted(sizes)), []).append(name)
    return "; ".join(
        f"{', '.join(names)}, {' / '.join(f'{size:,}' for size in sizes)} Services" for sizes, names in by_sizes.items()
    )


def in_one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def disturbed(results: Results) -> str:
    """What a reader must know of the machine before believing a figure; "" if it was quiet."""
    told = []
    if (busy := _part(results.machine, "busy before")) > _BUSY:
        told.append(f"{busy:.0%} of its time went elsewhere before the run")
    if (stolen := _part(results.machine, "stolen by the hypervisor")) > _STOLEN:
        told.append(f"the hypervisor gave {stolen:.0%} of it to others")
    if (noise := _ceiling_spread(results)) > _NOISE:
        told.append(f"the ceiling's own samples differ by ±{noise / 2:.0%}")
    return f"The machine was not quiet ({'; '.join(told)}): read these figures as a sketch." if told else ""


def _part(machine: Mapping[str, str], name: str) -> float:
    return float(machine.get(name, "0").rstrip(" %")) / 100


def _ceiling_spread(results: Results) -> float:
    """How far apart the ceiling's samples of one rate are, usually: what the machine does to figures by itself."""
    rates = [m for m in results.measured if m.contender == CEILING and m.metric.more_is_better and m.metric.compared]
    spreads = [spread(m.samples) for m in rates if len(m.samples) > 1]
    return median(spreads) if spreads else 0.0


def digits(value: float) -> str:
    """Three that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def told(ratio: Ratio | None) -> str:
    """As in "1.52 (1.48 to 1.60)"."""
    if ratio is None:
        return ""
    return times(ratio.value) + (f" ({times(ratio.low)} to {times(ratio.high)})" if isfinite(ratio.high) else "")


def times(ratio: float) -> str:
    """With two decimals, or the first that counts."""
    return f"{ratio:.2f}" if ratio >= 0.1 or ratio == 0 else f"{ratio:.1g}"


def _ratio(measured: Measured, base: Measured | None) -> Ratio | None:
    if base is None or base.value is None or measured.value is None:
        return None
    return paired_ratio(measured.samples, base.samples)
