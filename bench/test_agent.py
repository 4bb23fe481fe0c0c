"""How long until packets follow, with everything in between: API server, watch, agent, kernel?

svcplane alone, beside its bars, in clusters of several shapes; beside others, in turns: test_how_soon_packets_follow.py
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.figure import Figure
from bench.namespace import measure
from bench.workload import Shape

START = "from start to the first packet"
CHANGE = "one endpoint changed, to the first packet, median"
SLOW_CHANGE = "one endpoint changed, to the first packet, 99th percentile"
MEMORY = "agent's resident memory"
BEHIND = "behind at most, while changes pour in"
BEHIND_MEDIAN = "behind, median, while changes pour in"
POURED = "changes that poured in"
MEMORY_AFTER = "agent's resident memory after that"

#: What a machine with two cores should reach. Where only one size is named, the others have no bar of their own.
BARS = {CHANGE: 50.0, SLOW_CHANGE: 150.0, BEHIND: 1.0}
TOO_FEW = "TOO FEW: a 99th percentile needs 200 changes"
LIMIT = 400.0  #: seconds for one cluster

BARS_AT_10_000 = {START: 4.0, MEMORY: 250.0}


def test_how_long_until_packets_follow_the_agent(
    shape: Shape, figures: list[Figure], request: pytest.FixtureRequest
) -> None:
    quick = request.config.getoption("--quick")
    course = ["--changes", 20, "--pause", 0.1] if quick else ["--changes", 200, "--pause", 0.3]
    # A slice of a hundred endpoints is as much work for the API server as ten of four and more.
    course += ["--pour", 1000 if shape.endpoints <= 10 else 100, "--pour-seconds", 3 if quick else 30]
    measured = measure("bench.end_to_end", shape, *course, limit=LIMIT)
    figures += _figures(shape, measured)


def _figures(shape: Shape, measured: dict[str, float]) -> Iterator[Figure]:
    bars = BARS | BARS_AT_10_000 if shape.services == 10_000 else BARS
    for what, name, unit in (
        (START, "start_s", "s"),
        (CHANGE, "change_median_ms", "ms"),
        (SLOW_CHANGE, "change_p99_ms", "ms"),
        (MEMORY, "resident_mb", "MB"),
        (POURED, "poured_a_second", "a second"),
        (BEHIND, "behind_at_most_s", "s"),
        (BEHIND_MEDIAN, "behind_median_s", "s"),
        (MEMORY_AFTER, "resident_after_pouring_mb", "MB"),
    ):
        if name in measured:
            yield Figure(
                "svcplane nftables", shape.services, what, measured[name], unit, bars.get(what), shape.endpoints
            )
        elif what == SLOW_CHANGE:
            yield Figure("svcplane nftables", shape.services, what, None, unit, None, shape.endpoints, TOO_FEW)
