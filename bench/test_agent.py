"""How long until packets follow, with everything in between: API server, watch, agent, kernel?

Timed by packets alone, so that svcplane and kube-proxy are measured alike.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import workload
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
#: Seconds for one cluster. kube-proxy of old takes a minute for some changes.
LIMIT, KUBE_PROXYS_LIMIT = 400.0, 1500.0

BARS_AT_10_000 = {START: 4.0, MEMORY: 250.0}

_COMMON = (
    "--kubeconfig={kubeconfig}",
    f"--hostname-override={workload.NODE}",
    f"--cluster-cidr={workload.CLUSTER_CIDR}",
)


def test_how_long_until_packets_follow_the_agent(
    shape: Shape, figures: list[Figure], request: pytest.FixtureRequest
) -> None:
    quick = request.config.getoption("--quick")
    program = Path(sys.executable).with_name("svcplane")
    course = ["--changes", 20, "--pause", 0.1] if quick else ["--changes", 200, "--pause", 0.3]
    # A slice of a hundred endpoints is as much work for the API server as ten of four and more.
    course += ["--pour", 1000 if shape.endpoints <= 10 else 100, "--pour-seconds", 3 if quick else 30]
    measured = measure("bench.end_to_end", shape, *course, "--", program, "agent", *_COMMON, limit=LIMIT)
    figures += _figures("svcplane nftables", shape, measured)


def test_how_long_until_packets_follow_kube_proxy(
    shape: Shape, figures: list[Figure], request: pytest.FixtureRequest
) -> None:
    path: str | None = request.config.getoption("--kube-proxy")
    if path is None:
        pytest.skip("no --kube-proxy PATH given")
    mode: str = request.config.getoption("--kube-proxy-mode")
    more: str = request.config.getoption("--kube-proxy-flags")
    flags = (
        *_COMMON,
        f"--proxy-mode={mode}",
        # A namespace may not change these; 0 leaves them alone.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
        *shlex.split(more),
    )
    options = ["--endpoints"] if "EndpointSliceProxying=false" in more else []
    # It waits a second after each sync before it begins another.
    options += ["--changes", "10", "--pause", "2.5"]
    measured = measure("bench.end_to_end", shape, *options, "--", path, *flags, limit=KUBE_PROXYS_LIMIT)
    figures += _figures(f"kube-proxy {mode}", shape, measured)


def _figures(subject: str, shape: Shape, measured: dict[str, float]) -> Iterator[Figure]:
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
            yield Figure(subject, shape.services, what, measured[name], unit, bars.get(what), shape.endpoints)
        elif what == SLOW_CHANGE:
            yield Figure(subject, shape.services, what, None, unit, None, shape.endpoints, TOO_FEW)
