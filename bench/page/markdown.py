"""The report as Markdown: a table for each question, for those who read in a terminal or a repository."""

from __future__ import annotations

from collections.abc import Iterator

from bench.harness.results import Results
from bench.page.summary import Group, chapters, told, troubles


def markdown(results: Results) -> str:
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Results) -> Iterator[str]:
    yield "# Measured"
    yield "; ".join(f"{name}: {value}" for name, value in {**results.machine, **results.contenders_told()}.items())
    yield ""
    for who, services, why in troubles(results):
        yield f"- {who}, {services:,} Services: {' '.join(why.split())[:200]}"
    for chapter in chapters(results):
        yield ""
        yield f"## {chapter.question}"
        for group in chapter.groups:
            yield from _table(group)


def _table(group: Group) -> Iterator[str]:
    case = f": {group.metric.case}" if group.metric.case else ""
    better = "more" if group.metric.more_is_better else "less"
    yield ""
    yield f"**{group.metric.name}{case}** ({better} is better)"
    yield ""
    yield "| Services | who | median | spread | times the ceiling | times kube-proxy's best | |"
    yield "|---:|---|---:|---:|---:|---:|---|"
    for row in group.rows():
        yield (
            f"| {row.measured.services:,} | {row.measured.contender} | {row.value} | {row.spread} "
            f"| {told(row.to_ceiling)} | {told(row.to_kube_proxy)} | {row.verdict} |"
        )
