"""The report for a terminal: a table for each figure, as `pytest bench` prints them at its end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.harness.results import Results
from bench.harness.verdict import Verdict
from bench.page.summary import Group, Row, chapters, digits, disturbed, told, troubles

_NARROWEST = 120  #: characters, where nobody looks: in a file, or a log
_STYLES: dict[str, str] = {Verdict.BETTER: "green", Verdict.WORSE: "red"}


def show(results: Results, console: Console | None = None) -> None:
    """Print it all."""
    out = console or Console(width=None if Console().is_terminal else _NARROWEST)
    for chapter in chapters(results):
        out.print()
        out.rule(Text(chapter.question, style="bold"), align="left")
        shared = [group for group in chapter.groups if len(group.contenders) > 1]
        for group in shared:
            out.print(_beside_others(group))
        if alone := [group for group in chapter.groups if group not in shared]:
            out.print(_alone(alone))
    out.print()
    for who, why in troubles(results):
        out.print(Text(f"{who}: {why}", style="red"))
    out.print(Text(", ".join(f"{name} {value}" for name, value in results.machine.items())))
    if remark := disturbed(results):
        out.print(Text(remark, style="bold red"))


def _beside_others(group: Group) -> Table:
    better = "more" if group.metric.more_is_better else "less"
    table = _table(f"{group.title}, in {group.metric.unit} ({better} is better)")
    for heading in ("Services", "who"):
        table.add_column(heading)
    for heading in ("measured", "±", "x ceiling", "x kube-proxy's best (95 %)"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in group.rows():
        table.add_row(
            f"{row.measured.services:,}",
            row.measured.contender,
            row.figure_or_trouble + _bar(row),
            row.spread.removeprefix("±"),
            f"{row.to_ceiling.value:.2f}" if row.to_ceiling else "",
            told(row.to_kube_proxy),
            row.told_verdict,
            style=_STYLES.get(row.verdict),
        )
    return table


def _alone(groups: Sequence[Group]) -> Table:
    """What has nobody beside it."""
    table = _table("")
    for heading in ("what", "who"):
        table.add_column(heading)
    for heading in ("Services", "measured", "bar"):
        table.add_column(heading, justify="right")
    for group in groups:
        for row in group.rows():
            bar = row.measured.bar
            missed = bar is not None and (row.measured.value is None or row.measured.value > bar)
            table.add_row(
                group.title,
                row.measured.contender,
                f"{row.measured.services:,}",
                row.value,
                "" if bar is None else f"{digits(bar)} {group.metric.unit} {'MISSED' if missed else 'reached'}",
                style="red" if missed else None,
            )
    return table


def _bar(row: Row) -> str:
    return "" if row.measured.bar is None else f" (bar: {digits(row.measured.bar)})"


def _table(title: str) -> Table:
    return Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="dim")
