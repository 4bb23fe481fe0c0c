"""How long until packets follow, with everything in between: API server, watch, agent, kernel?

Timed by packets alone, so that svcplane and kube-proxy are measured alike.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from bench import workload
from bench.namespace import measure
from bench.report import Figure

START = "from start to the first packet"
CHANGE = "one endpoint changed, to the first packet, median"
MEMORY = "agent's resident memory"

_COMMON = (
    "--kubeconfig={kubeconfig}",
    f"--hostname-override={workload.NODE}",
    f"--cluster-cidr={workload.CLUSTER_CIDR}",
)


def test_how_long_until_packets_follow_the_agent(services: int, figures: list[Figure]) -> None:
    program = Path(sys.executable).with_name("svcplane")
    measured = measure("bench.end_to_end", services, "--", program, "agent", *_COMMON)
    figures += _figures("svcplane", services, measured)


def test_how_long_until_packets_follow_kube_proxy(
    services: int, figures: list[Figure], request: pytest.FixtureRequest
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
    measured = measure("bench.end_to_end", services, *options, "--", path, *flags)
    figures += _figures(f"kube-proxy, {mode}", services, measured)


def _figures(subject: str, services: int, measured: dict[str, float]) -> list[Figure]:
    return [
        Figure(subject, services, START, measured["start_s"], "s"),
        Figure(subject, services, CHANGE, measured["change_median_ms"], "ms"),
        Figure(subject, services, MEMORY, measured["resident_mb"], "MB"),
    ]
