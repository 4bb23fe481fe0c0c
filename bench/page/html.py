"""The report as one HTML page that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from itertools import count, groupby

from bench.harness.results import Measured, Results
from bench.harness.statistics import CONFIDENCE
from bench.harness.verdict import MATTERS, RUNS_DIFFER, Verdict
from bench.page.plots import colours, plot
from bench.page.summary import Chapter, Group, chapters, digits, disturbed, glances, remarks, told, troubles

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.6rem; border-top: 1px solid #ddd; padding-top: 1.2rem; font-size: 1.3rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 1.6rem 0 .3rem; }
svg { width: 100%; height: auto; max-width: 50rem; display: block; }
table { border-collapse: collapse; font-size: .86rem; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #eee; }
td.n, th.n { text-align: right; }
.better { color: #00692f; } .worse, .trouble { color: #a00000; font-weight: 600; } .quiet { color: #555; }
.wide { overflow-x: auto; }
.wide table { min-width: 46rem; }
.wide td:first-child { min-width: 11rem; }
.wide th[colspan] { padding-top: .7rem; }
details { overflow-x: auto; } details summary { cursor: pointer; color: #08519c; font-size: .9rem; }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; font-size: .9rem; } dd { margin: 0; }
.plot { overflow-x: auto; }
@media (max-width: 40rem) {
  svg { min-width: 34rem; } dl { grid-template-columns: auto; } dt { color: #555; } dd { margin-bottom: .3rem; }
}
"""


def page(results: Results) -> str:
    all_chapters = chapters(results)
    colour = colours(list(dict.fromkeys(m.contender for m in results.measured)))
    number = count()
    contents = "".join(
        f'<li><a href="#q{place}">{escape(chapter.question)}</a></li>' for place, chapter in enumerate(all_chapters)
    )
    body = "".join(_chapter(chapter, next(number), colour) for chapter in all_chapters)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>svcplane: measured</title><style>{_STYLE}</style>
<h1>svcplane beside others, measured</h1>
{_warning(results)}
{_list(results.about())}
{_troubles(results)}
{_glance(results)}
<ul>{contents}</ul>
{body}
<h2>How it was measured</h2>
{_method(results)}
</html>
"""


def _glance(results: Results) -> str:
    names, lines = glances(results)
    if not lines:
        return ""
    head = "".join(f"<th class=n>{escape(name.removeprefix('svcplane '))}" for name in names)
    body = []
    for question, of_question in groupby(lines, key=lambda line: line.chapter.question):
        body.append(f"<tr><th colspan={len(names) + 3}>{escape(question)}</tr>")
        for line in of_question:
            cells = (line.cells.get(name, ("", "")) for name in names)
            told_by_all = "".join(f'<td class="n {_kind(verdict)}">{escape(text)}' for text, verdict in cells)
            better = "more" if line.group.metric.more_is_better else "less"
            body.append(f"<tr><td>{escape(line.title)}<td class=n>{line.services:,}<td>{better}{told_by_all}</tr>")
    return (
        "<h2>At a glance</h2><p>Each of svcplane's modes as times the best of kube-proxy's, with 1,000 Services and "
        "with the most that kube-proxy was measured with. Green is better and red worse; grey is no clear difference; "
        "? is close: another run may say otherwise.</p>"
        f"<div class=wide><table><tr><th>what<th class=n>Services<th>better is{head}</tr>{''.join(body)}</table></div>"
    )


def _kind(verdict: str) -> str:
    return verdict if verdict in (Verdict.BETTER, Verdict.WORSE, "trouble") else "quiet"


def _chapter(chapter: Chapter, number: int, colour: dict[str, str]) -> str:
    alone = [group for group in chapter.groups if len(group.contenders) == 1]
    groups = "".join(
        _group(group, colour, f"q{number}g{place}") for place, group in enumerate(chapter.groups) if group not in alone
    )
    return f'<h2 id="q{number}">{escape(chapter.question)}</h2>\n{groups}{_all_in_one(alone)}'


def _all_in_one(groups: Sequence[Group]) -> str:
    """What has nobody beside it needs no plot: one table for a whole chapter."""
    rows = "".join(
        f"<tr><td>{escape(group.title)}<td class=n>{row.measured.services:,}<td>{escape(row.measured.contender)}"
        f"<td class=n>{escape(row.value)}{_bar(row.measured)}<td class=n>{row.spread}</tr>"
        for group in groups
        for row in group.rows()
    )
    head = "<tr><th>what<th class=n>Services<th>who<th class=n>median<th class=n>spread</tr>"
    return f"<table>{head}{rows}</table>" if rows else ""


def _bar(measured: Measured) -> str:
    if measured.bar is None:
        return ""
    missed = measured.value is None or measured.value > measured.bar
    return f" <span class={'worse' if missed else 'quiet'}>(bar: {digits(measured.bar)})</span>"


def _group(group: Group, colour: dict[str, str], name: str) -> str:
    # The plots share a page, and so must not share names of what they define.
    svg = re.sub(r'((?:id=|href=)"#?|url\(#)', lambda found: f"{found[1]}{name}-", plot(group, colour))
    table = f"<details><summary>figures</summary>{_table(group)}</details>"
    return f"<h3>{escape(group.title)}</h3>\n<div class=plot>{svg}</div>\n{table}\n"


def _table(group: Group) -> str:
    head = (
        "<tr><th class=n>Services<th>who<th class=n>median<th class=n>spread"
        "<th class=n>times the ceiling<th class=n>times kube-proxy's best<th></tr>"
    )
    rows = []
    for row in group.rows():
        m = row.measured
        rows.append(
            f'<tr><td class=n>{m.services:,}<td>{escape(m.contender)}<td class="n {"trouble" if m.trouble else ""}">'
            f"{escape(row.value)}{_bar(m)}<td class=n>{row.spread}<td class=n>{told(row.to_ceiling)}"
            f'<td class=n>{told(row.to_kube_proxy)}<td class="{_kind(row.verdict)}">{escape(row.told_verdict)}</tr>'
        )
    return f"<table>{head}{''.join(rows)}</table>"


def _troubles(results: Results) -> str:
    items = "".join(
        f"<li>{escape(who)}: <span class=trouble>{escape(why)}</span></li>" for who, why in troubles(results)
    )
    noted = "".join(f"<li>{escape(who)}: {escape(note)}</li>" for who, note in remarks(results))
    missing = f"<h3>Not measured</h3><ul>{items}</ul>" if items else ""
    return missing + (f"<h3>Measured, but</h3><ul>{noted}</ul>" if noted else "")


def _warning(results: Results) -> str:
    remark = disturbed(results)
    return f"<p class=trouble>{escape(remark)}</p>" if remark else "<p>The machine was quiet.</p>"


def _method(results: Results) -> str:
    told_so_far = ", ".join(f"{name}: {value}" for name, value in results.method.items())
    return f"""<p>Every contender has machines of its own (network namespaces): a client, a node, and four backends,
with the same addresses, and an API server of the lab tells all of them the same. All stand ready at once and are
measured in turns, round by round, after a warm-up ({escape(told_so_far)}); agents whose turn it is not are stopped.
Client and node have a processor each. Before the first question and after each, every contender must answer right,
over TCP and UDP, from all backends: else it is BROKEN and none of its figures counts.</p>
<p>"No service" is the ceiling: the client talks to the backends themselves. The spread is half the distance between the
quartiles. Ratios are taken round by round; in brackets is the interval that holds with {CONFIDENCE:.0%} confidence
(sign test). Better or worse is said only where the whole interval says so and the difference is more than
{MATTERS:.0%}. A verdict is close where it would be another one if the ratio were {RUNS_DIFFER:.0%} more or less: by so
much two runs may well differ. "≥" says that the load generator was the limit. Whiskers reach from the smallest to the
largest sample.</p>"""


def _list(items: dict[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}<dd>{escape(v)}" for k, v in items.items()) + "</dl>"
