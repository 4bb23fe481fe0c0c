"""The report as Markdown: an overview and a table for each metric, for those who read in a terminal or a repository."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.harness.results import Results
from bench.page.summary import Group, Row, chapters, digits, disturbed, glances, remarks, troubles


def markdown(results: Results) -> str:
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Results) -> Iterator[str]:
    if remark := disturbed(results):
        yield f"**{remark}**"
        yield ""
    yield "; ".join(f"{name}: {value}" for name, value in results.about().items())
    yield ""
    for who, why in troubles(results):
        yield f"- {who}: {why}"
    for who, note in remarks(results):
        yield f"- {who}, was measured, but: {note}"
    yield from _glance(results)
    for chapter in chapters(results):
        yield ""
        yield f"## {chapter.question}"
        for group in chapter.groups:
            if len(group.contenders) > 1:
                yield from _table(group)
        yield from _all_in_one([group for group in chapter.groups if len(group.contenders) == 1])


def _glance(results: Results) -> Iterator[str]:
    names, lines = glances(results)
    if not lines:
        return
    yield ""
    yield "## At a glance"
    yield (
        "Each of svcplane's modes as times the best of kube-proxy's. Bold is better, (!) is worse, the others show no "
        "clear difference; ? is close: another run may say otherwise."
    )
    yield ""
    yield from head(["what", "Services", "better is", *(name.removeprefix("svcplane ") for name in names)])
    for line in lines:
        better = "more" if line.group.metric.more_is_better else "less"
        cells = [_cell(*line.cells.get(name, ("", ""))) for name in names]
        what = f"{line.chapter.question} {line.title}"
        yield row([what, f"{line.services:,}", better, *cells])


def _cell(text: str, verdict: str) -> str:
    return f"**{text}**" if verdict == "better" else f"{text} (!)" if verdict == "worse" else text


def _table(group: Group) -> Iterator[str]:
    """A contender in each row, a number of Services in each column."""
    case = f": {group.metric.case}" if group.metric.case else ""
    better = "more" if group.metric.more_is_better else "less"
    yield ""
    yield f"**{group.metric.name}{case}**, in {group.metric.unit} ({better} is better)"
    yield ""
    yield from head(["", *(f"{n:,} Services" for n in group.services)])
    rows = {(found.measured.contender, found.measured.services): found for found in group.rows()}
    for contender in group.contenders:
        cells = []
        for services in group.services:
            found = rows.get((contender, services))
            cells.append("" if found is None else _figure(found))
        yield row([contender, *cells])


def _all_in_one(groups: Sequence[Group]) -> Iterator[str]:
    """What has nobody beside it: one table for a whole chapter."""
    if not groups:
        return
    yield ""
    yield from head([groups[0].contenders[0], "Services", "measured"])
    for group in groups:
        for found in group.rows():
            yield row([group.title, f"{found.measured.services:,}", _figure(found, group.metric.unit)])


def _figure(found: Row, unit: str = "") -> str:
    if found.measured.trouble:
        return found.value
    bar = "" if found.measured.bar is None else f"(bar: {digits(found.measured.bar)})"
    return " ".join(part for part in (found.figure, unit, found.spread, bar) if part)


def head(names: Sequence[str]) -> Iterator[str]:
    """The first two lines of a table; only the first column is text."""
    yield row(names)
    yield "|---" + "|---:" * (len(names) - 1) + "|"


def row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"
