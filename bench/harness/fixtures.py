"""What the questions are given by pytest: an arena with so many Services in it, and somewhere to put figures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.harness import machine
from bench.harness.arena import Arena, Plan, arena
from bench.harness.contenders import Contender, chosen, everybody
from bench.harness.machines import Machines, Place, of_vagrant
from bench.harness.results import Measured, Metric, Results
from bench.harness.world import Here, Site
from dataplane.errors import InputError

QUICK_CONTENDERS = "*nftables,*legacy,*ipvs,*userspace*"
SVCPLANE_AWAY = "/svcplane/.venv/bin/svcplane"  #: on other machines: vagrant/ puts it there
KILLS, QUICK_KILLS = 20, 1
QUICK_SCALES, FULL_SCALES = "1000", "10,1000,10000,30000"


def add_options(group: pytest.OptionGroup) -> None:
    group.addoption("--quick", action="store_true", help="fewer cases, rounds and Services: under five minutes")
    group.addoption("--contenders", help=f"whom to measure, as patterns (default: all; quick: {QUICK_CONTENDERS})")
    group.addoption("--vagrant", action="store_true", help="across the machines of vagrant/, over SSH")
    group.addoption(
        "--machines",
        metavar="CLIENT,NODE,BACKENDS",
        help="across these, over SSH as root: NAME/ADDRESS each, by which the others reach it; one may be several",
    )
    group.addoption("--ssh-config", metavar="FILE", help="where ssh finds the names of --machines")
    group.addoption("--svcplane", metavar="PATH", help=f"where the machines have it (default: {SVCPLANE_AWAY})")
    group.addoption("--scales", help=f"numbers of Services for packets (default: {FULL_SCALES}; quick: {QUICK_SCALES})")
    group.addoption("--rounds", type=int, help="samples of each figure")
    group.addoption("--kills", type=int, help=f"how often agents are killed (default: {KILLS}; quick: {QUICK_KILLS})")
    group.addoption("--output", metavar="FILE", help="where the results go, as JSON (default: in bench/results)")


def scales(config: pytest.Config, enough: Sequence[int] | None) -> list[int]:
    """How many Services a question is asked with: all that are wanted, or those of them that are enough for it."""
    text: str = config.getoption("--scales") or (QUICK_SCALES if config.getoption("--quick") else FULL_SCALES)
    try:
        wanted = [int(size) for size in text.split(",")]
    except ValueError:
        raise pytest.UsageError(f"--scales: expected numbers with commas between them, got {text!r}") from None
    return [size for size in wanted if enough is None or size in enough] or wanted[:1]


def site_of(config: pytest.Config) -> Site:
    """Where the worlds are made. UsageError if that is told wrong."""
    option = config.getoption
    try:
        if option("--vagrant"):
            return of_vagrant(Path(__file__).parents[2] / "vagrant")
        if option("--machines"):
            places = [Place.parse(text) for text in option("--machines").split(",")]
            return Machines(places, ["-F", option("--ssh-config")] if option("--ssh-config") else [])
    except InputError as error:
        raise pytest.UsageError(str(error)) from None
    return Here()


def contenders_of(config: pytest.Config) -> list[Contender]:
    """Whom to measure. UsageError if that is told wrong."""
    option = config.getoption
    away = SVCPLANE_AWAY if option("--vagrant") or option("--machines") else ""
    try:
        found = everybody(option("--kube-proxy"), option("--kube-proxy-flags"), option("--svcplane") or away)
        return chosen(found, option("--contenders") or (QUICK_CONTENDERS if option("--quick") else "*"))
    except InputError as error:
        raise pytest.UsageError(str(error)) from None


class Arenas:
    """The arena of the size asked for last; building one takes a while, so the questions come size by size."""

    def __init__(self, contenders: Sequence[Contender], plan: Plan, site: Site) -> None:
        self.contenders = contenders
        self.plan = plan
        self.site = site
        self._stack = ExitStack()
        self._current: Arena | None = None

    def of(self, services: int) -> Arena:
        if self._current is None or self._current.services != services:
            self.close()
            self._current = self._stack.enter_context(arena(services, self.contenders, self.plan, self.site))
        return self._current

    def close(self) -> None:
        self._current = None
        self._stack.close()


class Record:
    """Where all figures of a run go."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def add(self, measured: Sequence[Measured]) -> None:
        self.results.measured.extend(measured)


@pytest.fixture(scope="session")
def plan(request: pytest.FixtureRequest) -> Plan:
    chosen = Plan.quick() if request.config.getoption("--quick") else Plan()
    rounds: int | None = request.config.getoption("--rounds")
    return Plan(rounds or chosen.rounds, chosen.seconds, chosen.warm_up, chosen.start_limit)


@pytest.fixture(scope="session")
def arenas(request: pytest.FixtureRequest, plan: Plan) -> Iterator[Arenas]:
    all_of_them = Arenas(contenders_of(request.config), plan, site_of(request.config))
    try:
        yield all_of_them
    finally:
        all_of_them.close()
        all_of_them.site.close()


@pytest.fixture(scope="session")
def record(request: pytest.FixtureRequest, plan: Plan) -> Iterator[Record]:
    """Put figures in; at the end they are saved."""
    from bench.conftest import RESULTS

    began, noise = time.time(), machine.Noise()
    method = {"rounds": str(plan.rounds), "seconds of a sample": f"{plan.seconds:g}"}
    record = Record(Results(machine.describe(), method, {}))
    yield record
    record.results.machine |= noise.told()
    record.add(_figures_since(RESULTS, began))
    output = request.config.getoption("--output")
    file = Path(output) if output else RESULTS / f"run-{time.strftime('%Y%m%d-%H%M%S')}.json"
    record.results.save(file)
    print(f"\nsaved as {file}; bench/report {file} makes a page of it")


@pytest.fixture
def stage(arenas: Arenas, record: Record, scale: int) -> Arena:
    """All contenders with `scale` Services, ready to be measured."""
    arena = arenas.of(scale)
    record.results.machine |= arenas.site.described
    record.results.contenders |= {c.name: c.version for c in arenas.contenders}
    return arena


def _figures_since(folder: Path, began: float) -> list[Measured]:
    """What the other measurements of the same run have saved: one value each, and less is better."""
    return [
        Measured(
            Metric(file.name.split("-")[0], figure["what"], figure["unit"], more_is_better=False),
            figure["subject"],
            figure["services"],
            (figure["value"],),
        )
        for file in sorted(folder.glob("*.json"))
        if file.stat().st_mtime >= began
        for figure in json.loads(file.read_text()).get("figures", ())
    ]
