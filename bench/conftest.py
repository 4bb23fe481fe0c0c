"""What every measurement may count on: the sizes asked for, and somewhere to put its figures."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

import pytest

from bench.figure import Figure
from bench.harness.fixtures import (
    QUICK_MINUTES,
    add_options,
    arenas,
    contenders_of,
    plan,
    plan_of,
    record,
    scales,
    session_of,
    stage,
)
from bench.harness.record import Record, Session
from bench.page.terminal import show
from bench.workload import ENDPOINTS, Shape

__all__ = ["arenas", "plan", "record", "stage"]  # fixtures

RESULTS = Path(__file__).parent / "results"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bench")
    group.addoption(
        "--sizes",
        default="100,1000,10000,1000x100,1x10000",
        help="numbers of Services, perhaps with those of each one's endpoints (default: %(default)s)",
    )
    group.addoption("--without-contenders", action="store_true", help="measure svcplane only")
    group.addoption("--kube-proxy", metavar="PATH", help="measure this kube-proxy beside svcplane")
    group.addoption("--soak-minutes", type=float, default=2.0, help="how long the soak lasts (default: %(default)s)")
    group.addoption("--soak-seed", type=int, default=1, help="what happens in the soak (default: %(default)s)")
    add_options(group)
    group.addoption("--kube-proxy-flags", metavar="FLAGS", default="", help="more flags for it, in one argument")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "stage" in metafunc.fixturenames:
        metafunc.parametrize(
            "scale",
            scales(metafunc.config, getattr(metafunc.module, "SCALES", None)),
            ids=lambda scale: f"{scale} Services",
        )
    if "services" in metafunc.fixturenames:
        metafunc.parametrize("services", [s.services for s in _shapes(metafunc.config) if s.endpoints == ENDPOINTS])
    if "shape" in metafunc.fixturenames:
        metafunc.parametrize("shape", _shapes(metafunc.config), ids=str)


def _shapes(config: pytest.Config) -> list[Shape]:
    text: str = config.getoption("--sizes")
    try:
        return [Shape.parse(size) for size in text.split(",")]
    except ValueError:
        raise pytest.UsageError(f"--sizes: expected 10000 or 1000x100, with commas between, got {text!r}") from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if any("arenas" in getattr(item, "fixturenames", ()) for item in items):
        contenders_of(config)  # whatever is wrong with them is one line, and not one for each question
    # Size by size, since whatever shares an arena follows on each other; then what needs none; and last, should time
    # not be enough, what takes minutes for each contender.
    items.sort(key=lambda item: (item.get_closest_marker("takes_minutes") is not None, _scale(item) or math.inf))
    for item in items:
        if config.getoption("--quick") and item.get_closest_marker("thorough"):
            item.add_marker(pytest.mark.skip(reason="--quick"))
        if os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root, for a network namespace of its own"))


def pytest_configure(config: pytest.Config) -> None:
    output: str | None = config.getoption("--output")
    file = Path(output) if output else RESULTS / f"run-{time.strftime('%Y%m%d-%H%M%S')}.json"
    minutes: float | None = config.getoption("--minutes") or (QUICK_MINUTES if config.getoption("--quick") else None)
    session = Session(plan_of(config), file, minutes)
    config.addinivalue_line("markers", "thorough: not asked with --quick")
    config.pluginmanager.register(session, Session.NAME)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as ^C: nothing that was started stays


def pytest_terminal_summary(config: pytest.Config) -> None:
    record = session_of(config).record
    results = record.so_far()
    if not results.measured:
        return
    show(results)
    record.save()
    print(f"\nsaved as {record.file}; bench/report {record.file} makes a page of it")


@pytest.fixture(scope="session")
def figures(record: Record) -> list[Figure]:
    """Put figures in; they are shown at the end, and saved with all others of the run."""
    return record.sheet("How long until the kernel does what the cluster says?")


def _scale(item: pytest.Item) -> int:
    """How many Services its arena has; 0 if it has none."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    scale = parameters.get("scale", 0)
    assert isinstance(scale, int)
    return scale
