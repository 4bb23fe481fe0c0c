"""The report: what it says of samples that were made up, and what changed between two runs."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from bench.harness.contenders import CEILING
from bench.harness.results import AT_LEAST, Measured, Metric, Results
from bench.harness.statistics import Ratio
from bench.page.compare import compare
from bench.page.summary import chapters, glances, told
from bench.page.terminal import show

pytest.importorskip("matplotlib", reason="the page needs matplotlib: pip install -e '.[bench]'")

from bench.page.__main__ import README_BEGIN, README_END, publish, write
from bench.page.html import page
from bench.page.markdown import markdown
from bench.page.overview import overview

RATE = Metric("How many packets a second?", "delivered", "packets/s", True, "18 bytes, <1> flow")
TIME = Metric("How long does the first packet take?", "p50", "µs", False)
OURS, THEIRS, OTHERS = "svcplane nftables", "kube-proxy iptables", "kube-proxy ipvs"


def results(*measured: Measured) -> Results:
    machine = {"kernel": "6.1", "processors": "2", "busy before": "2%", "at": "today"}
    return Results(machine, {"rounds": "5"}, {OURS: "0.1", THEIRS: "v1.36"}, list(measured))


def samples(middle: float) -> tuple[float, ...]:
    return tuple(middle * part for part in (0.98, 0.99, 1.0, 1.0, 1.01, 1.02))


@pytest.fixture
def run() -> Results:
    return results(
        *(
            Measured(metric, who, services, samples(value))
            for metric, figures in {
                RATE: {CEILING: 200e3, OURS: 150e3, THEIRS: 50e3, OTHERS: 75e3},
                TIME: {CEILING: 50, OURS: 60, THEIRS: 240, OTHERS: 120},
            }.items()
            for who, value in figures.items()
            for services in (10, 1000)
        )
    )


def test_ours_is_compared_with_the_ceiling_and_with_the_best_of_kube_proxy(run: Results) -> None:
    rate, time = (chapter.groups[0] for chapter in chapters(run))
    ours = {row.measured.services: row for row in rate.rows() if row.measured.contender == OURS}[1000]
    assert ours.to_ceiling is not None
    assert ours.to_kube_proxy is not None
    assert ours.to_ceiling.value == pytest.approx(0.75)
    assert ours.to_kube_proxy.value == pytest.approx(2)
    assert ours.verdict == "better"
    slower = next(row for row in time.rows() if row.measured.contender == OURS)
    assert slower.verdict == "better"  # half the time


def test_kube_proxy_is_compared_with_nobody_but_the_ceiling(run: Results) -> None:
    for row in chapters(run)[0].groups[0].rows():
        if row.measured.contender in (CEILING, THEIRS, OTHERS):
            assert row.to_kube_proxy is None


def test_who_is_broken_has_no_figure_and_is_nobodys_measure(run: Results) -> None:
    broken = Measured(RATE, OTHERS, 1000, (), "BROKEN: 3 UDP packets of 600 arrived")
    run.measured = [broken if (m.contender, m.metric, m.services) == (OTHERS, RATE, 1000) else m for m in run.measured]
    group = chapters(run)[0].groups[0]
    assert next(row.value for row in group.rows() if row.measured is broken) == "BROKEN"
    best = group.best_kube_proxy(1000)
    assert best is not None
    assert best.contender == THEIRS
    for text in (page(run), markdown(run)):
        assert "3 UDP packets of 600 arrived" in text


def test_the_overview_tells_who_is_better(run: Results) -> None:
    names, lines = glances(run)
    assert names == [OURS]
    assert [line.services for line in lines] == [1000, 1000]
    assert [line.cells[OURS] for line in lines] == [("2.00", "better"), ("0.50", "better")]
    assert "| How long does the first packet take? p50 | 1,000 | less | **0.50** |" in markdown(run)


def test_the_overview_has_a_usual_number_of_services_beside_the_largest(run: Results) -> None:
    most = [replace(m, services=30_000) for m in run.measured if m.services == 10]
    run.measured += most
    _, lines = glances(run)
    assert [line.services for line in lines] == [1000, 30_000] * 2
    run.measured = most
    assert [line.services for line in glances(run)[1]] == [30_000] * 2


def test_a_ratio_that_is_small_is_not_told_as_nothing() -> None:
    assert [told(Ratio(value, 0, math.inf)) for value in (1.234, 0.1, 0.0038, 0)] == ["1.23", "0.10", "0.004", "0.00"]


def test_without_a_kube_proxy_there_is_no_overview(run: Results) -> None:
    run.measured = [m for m in run.measured if not m.contender.startswith("kube-proxy")]
    assert "At a glance" not in page(run) + markdown(run)


def test_what_should_be_known_of_a_figure_is_told(run: Results) -> None:
    run.measured[0] = replace(run.measured[0], notes=("once it failed: no <answer>", AT_LEAST))
    assert "once it failed: no &lt;answer&gt;" in page(run)
    assert "- no service, 10 Services, was measured, but: once it failed: no <answer>" in markdown(run)
    assert "but: at least" not in markdown(run)


def test_a_sender_that_is_the_limit_is_said(run: Results) -> None:
    run.measured.append(Measured(RATE, "svcplane other", 10, samples(9e5), notes=(AT_LEAST,)))
    assert "| svcplane other | ≥ 900,000 ±1 % |  |" in markdown(run)


def test_the_page_needs_nothing_else_and_escapes_what_it_shows(run: Results) -> None:
    text = page(run)
    assert "18 bytes, &lt;1&gt; flow" in text
    assert not re.findall(r'(?:src|href)="(?!#)', text)
    svgs = re.findall(r"<svg.*?</svg>", text, re.S)
    assert len(svgs) == 2
    names = [found for svg in svgs for found in re.findall(r' id="([^"]+)"', svg)]
    assert len(names) == len(set(names))
    for svg in svgs:
        ElementTree.fromstring(svg)


@pytest.mark.parametrize(
    ("what", "value", "said"),
    [
        ("busy before", "60%", "60% of its time went elsewhere before the run"),
        ("stolen by the hypervisor", "12.0%", "the hypervisor gave 12% of it to others"),
    ],
)
def test_a_machine_that_was_not_quiet_is_told(run: Results, what: str, value: str, said: str) -> None:
    assert "not quiet" not in page(run) + markdown(run)
    run.machine[what] = value
    for text in (page(run), markdown(run), overview(run)):
        assert f"The machine was not quiet ({said}): read these figures as a sketch." in text


def test_a_ceiling_whose_samples_differ_much_tells_of_a_machine_that_was_not_quiet(run: Results) -> None:
    wild = (50e3, 80e3, 100e3, 100e3, 160e3, 200e3)
    run.measured = [replace(m, samples=wild) if m.contender == CEILING else m for m in run.measured]
    assert "not quiet (the ceiling's own samples differ by ±" in markdown(run)


def test_a_question_that_nobody_answered_is_told(run: Results) -> None:
    run.unanswered["test_bulk[1000]"] = "NO TIME: the run <was> over"
    assert "test_bulk[1000]: <span class=trouble>NO TIME: the run &lt;was&gt; over" in page(run)
    assert "- test_bulk[1000]: NO TIME: the run <was> over" in markdown(run)


def test_a_terminal_has_a_table_of_each_figure_and_what_each_contender_is_beside_the_others(run: Results) -> None:
    cost = Metric("What does a packet cost in the C engine?", "known flow", "ns", False)
    run.measured.append(Measured(cost, "the engine", 1, (30.0,), bar=25))
    out = io.StringIO()
    show(run, Console(file=out, width=120))
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert "delivered: 18 bytes, <1> flow, in packets/s (more is better)" in lines
    assert "1,000 svcplane nftables 150,000 1 % 0.75 2.00 (2.00 to 2.00) better" in lines
    assert "known flow the engine 1 30 ns 25 ns MISSED" in lines


def test_results_that_are_written_are_read_again(run: Results, tmp_path: Path) -> None:
    run.save(tmp_path / "run.json")
    assert Results.load(tmp_path / "run.json") == run
    write(run, tmp_path / "report")
    assert (tmp_path / "report" / "index.html").exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match="expected results in format 1"):
        Results.load(tmp_path / "x.json")


def test_a_run_compared_with_itself_has_not_changed(run: Results) -> None:
    assert compare(run, run).splitlines() == [
        "no clear change: 16",
        "verdicts beside kube-proxy: 4 of 4 as before; 0 changed that were close, 0 that were not; 0 turned round",
    ]


def test_a_run_on_a_machine_that_was_not_quiet_is_told_where_it_is_compared(run: Results) -> None:
    busy = replace(run, machine=run.machine | {"busy before": "60%"})
    assert compare(run, busy).startswith("now: The machine was not quiet (60% of its time")
    assert compare(busy, run).startswith("before: The machine was not quiet")


def test_what_became_slower_is_told_and_what_only_wavers_is_not(run: Results) -> None:
    def later(m: Measured) -> Measured:
        factor = 0.5 if m.contender == OURS and m.metric is RATE and m.services == 10 else 1.03
        return replace(m, samples=tuple(factor * each for each in m.samples))

    told = compare(run, replace(run, measured=[later(m) for m in run.measured])).splitlines()
    assert [line.split(":")[0] for line in told[1:]] == [
        "no clear change",
        "verdict changed",  # no longer twice as much
        "verdicts beside kube-proxy",
    ]
    assert told[0].startswith("worse: How many packets a second?, delivered, 18 bytes, <1> flow, svcplane nftables, 10")
    assert "150,000 → 75,000 packets/s" in told[0]


def test_a_machine_that_was_slower_is_no_change_of_ours(run: Results) -> None:
    def slower(m: Measured) -> Measured:
        return replace(m, samples=tuple((0.4 if m.metric is RATE else 2.5) * each for each in m.samples))

    told = compare(run, replace(run, measured=[slower(m) for m in run.measured])).splitlines()
    assert [line.split(":")[0] for line in told] == ["machine"] * 4 + ["no clear change", "verdicts beside kube-proxy"]


def test_a_verdict_that_turns_round_is_told(run: Results) -> None:
    def turned(m: Measured) -> Measured:
        factor = 0.2 if m.contender == OURS and m.metric is RATE and m.services == 10 else 1
        return replace(m, samples=tuple(factor * each for each in m.samples))

    told = compare(run, replace(run, measured=[turned(m) for m in run.measured])).splitlines()
    assert (
        "verdict turned: How many packets a second?, delivered, 18 bytes, <1> flow, svcplane nftables, 10 Services"
        in (told[2].rpartition(":")[0])
    )
    assert told[-1] == (
        "verdicts beside kube-proxy: 3 of 4 as before; 0 changed that were close, 1 that were not; 1 turned round"
    )


def test_verdicts_that_were_close_are_counted_apart(run: Results) -> None:
    def less(m: Measured) -> Measured:
        factor = {10: 0.6, 1000: 0.5}[m.services]  # of twice as much: 1.2 is close, and 1 is not
        if m.contender != OURS or m.metric is not RATE:
            return m
        return replace(m, samples=tuple(each * factor for each in m.samples))

    told = compare(run, replace(run, measured=[less(m) for m in run.measured])).splitlines()
    assert told[-1] == (
        "verdicts beside kube-proxy: 2 of 4 as before; 1 changed that were close, 1 that were not; 0 turned round"
    )


def test_what_broke_is_told(run: Results) -> None:
    first, *others = run.measured
    broken = replace(first, samples=(), trouble="BROKEN: wrong")
    assert "was measured → BROKEN: wrong" in compare(run, replace(run, measured=[broken, *others]))


def test_the_readme_shows_ours_beside_the_best_of_kube_proxy_and_beside_bars(run: Results) -> None:
    rate = replace(RATE, case="18 bytes, 64 flows")
    run.measured = [replace(m, metric=rate) if m.metric is RATE else m for m in run.measured]
    cost = Metric("What does a packet cost in the C engine?", "known flow", "ns", False)
    run.measured += [Measured(cost, "svcplane", 1, (30.0,), bar=25), Measured(cost, "svcplane", 10, (20.0,), bar=25)]
    text = overview(run)
    shown = "| How many packets a second? delivered | 1,000 | 150,000 packets/s | 75,000 packets/s | ipvs | 2.00"
    assert shown in text
    assert "svcplane alone has 2 bars to reach, and reached 1. Missed: known flow (1 Service) 30 ns, not 25." in text


def test_tables_are_put_between_two_lines_and_nothing_else_is_touched(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{README_BEGIN}old\n{README_END}after\n")
    for _ in range(2):
        publish("new\n", file, README_BEGIN, README_END)
        assert file.read_text() == f"before\n{README_BEGIN}\nnew\n\n{README_END}after\n"


def test_a_page_that_does_not_say_where_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{README_BEGIN}old\n")
    with pytest.raises(ValueError, match="expected a line <!-- to here -->"):
        publish("new\n", file, README_BEGIN, README_END)
    assert file.read_text() == f"before\n{README_BEGIN}old\n"


def test_what_nobody_loses_is_compared_without_the_ceiling(run: Results) -> None:
    lost = Metric("What if changes pour in?", "lost", "connections", False)

    def with_lost(count: float) -> Results:
        none = Measured(lost, CEILING, 10, (0.0,) * 6)
        return replace(run, measured=[*run.measured, none, Measured(lost, OURS, 10, (count,) * 6)])

    assert compare(with_lost(0), with_lost(0)).startswith("no clear change: 18")
    [worse, *_] = compare(with_lost(0), with_lost(3)).splitlines()
    assert worse == "worse: What if changes pour in?, lost, svcplane nftables, 10 Services: 0 → 3 connections"
