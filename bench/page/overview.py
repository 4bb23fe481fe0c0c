"""The few figures of a run that the README shows: ours beside the best of kube-proxy's, and which bars were missed."""

from __future__ import annotations

from collections.abc import Iterator

from bench.harness.results import Measured, Results
from bench.page.markdown import head, row
from bench.page.summary import Chapter, Group, chapters, digits, disturbed, told

OURS = "svcplane nftables"  #: the mode that is meant when none is named

PROGRAMMING = "How long until the kernel does what the cluster says?"

#: Question, figure and case of what is shown, in this order; "" stands for any case.
SHOWN = (
    ("How many packets a second?", "delivered", "18 bytes, 64 flows"),
    ("How many connections a second?", "answered", "32 at a time"),
    ("How long does the first packet take?", "p50", ""),
    ("How long does the first packet take?", "p99", ""),
    ("How much processor time per packet?", "node and backends", ""),
    ("How soon do packets follow a change?", "first answer from the new endpoint", ""),
    (PROGRAMMING, "everything into the kernel", ""),
    (PROGRAMMING, "one endpoint changed, median", ""),
    ("How long does the start take?", "first right answers", ""),
    ("How much memory?", "resident, of the agent", ""),
)


def overview(results: Results) -> str:
    """In Markdown. Nothing but the machine where nothing of it was measured."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Results) -> Iterator[str]:
    about = ("processor", "processors", "kernel", "nft", "Python", "at")
    yield "; ".join(f"{name} {results.machine[name]}" for name in about if name in results.machine) + "."
    if remark := disturbed(results):
        yield ""
        yield f"**{remark}**"
    all_chapters = chapters(results)
    rows = [cells for shown in SHOWN for cells in _beside_kube_proxy(all_chapters, *shown)]
    if rows:
        yield ""
        yield from head(["", "Services", f"`{OURS}`", "kube-proxy's best", "which is", "ratio (95 %)", "verdict"])
        yield from map(row, rows)
    bars = [m for chapter in all_chapters for group in chapter.groups for m in group.measured if m.bar is not None]
    if bars:
        missed = [m for m in bars if m.value is None or m.value > (m.bar or 0)]
        yield ""
        yield f"svcplane alone has {len(bars)} bars to reach, and reached {len(bars) - len(missed)}. " + (
            f"Missed: {'; '.join(map(_beside_bar, missed))}." if missed else ""
        )


def _beside_kube_proxy(all_chapters: list[Chapter], question: str, name: str, case: str) -> Iterator[list[str]]:
    """A line for each number of Services that an overview has."""
    for group in (group for chapter in all_chapters if chapter.question == question for group in chapter.groups):
        if group.metric.name != name or case not in ("", group.metric.case):
            continue
        ours = {r.measured.services: r for r in group.rows() if r.measured.contender == OURS and r.to_kube_proxy}
        for services in group.telling_sizes:
            if services in ours:
                theirs = _theirs(group, services)
                ratio = told(ours[services].to_kube_proxy)
                words = ours[services].told_verdict
                yield [f"{question} {name}", f"{services:,}", ours[services].value, *theirs, ratio, words]


def _theirs(group: Group, services: int) -> tuple[str, str]:
    best = next(r for r in group.rows() if r.measured is group.best_kube_proxy(services))
    return best.value, best.measured.contender.removeprefix("kube-proxy ")


def _beside_bar(m: Measured) -> str:
    """As in "compiled (10,000 Services) 2.06 s, not 1.5"."""
    value = "?" if m.value is None else digits(m.value)
    services = "1 Service" if m.services == 1 else f"{m.services:,} Services"
    where = ", ".join(part for part in (services, m.metric.case) if part)
    return f"{m.metric.name} ({where}) {value} {m.metric.unit}, not {digits(m.bar or 0)}"
