"""What the questions are given by pytest: an arena with so many Services in it, and somewhere to put figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bench.harness.arena import NEVER, Arena, Plan, arena
from bench.harness.contenders import Contender, chosen, everybody
from bench.harness.deadline import Deadline
from bench.harness.machines import Machines, Place, of_vagrant
from bench.harness.record import Record, Session
from bench.harness.world import Here, Site
from dataplane.errors import InputError

QUICK_CONTENDERS = "*nftables,kube-proxy*legacy,*ipvs,*nfqueue,*af_xdp"
QUICK_MINUTES = 2.6  #: then no further question is asked, so that a page is there after three
SVCPLANE_AWAY = "/svcplane/.venv/bin/svcplane"  #: on other machines: vagrant/ puts it there
ASIDE_AT = 1000  #: Services, for contenders that are measured with one number of them
KILLS, QUICK_KILLS = 20, 1
QUICK_SCALES, FULL_SCALES = "1000", "10,1000,10000,30000"


def add_options(group: pytest.OptionGroup) -> None:
    group.addoption("--quick", action="store_true", help="fewer cases, rounds and Services: three minutes")
    group.addoption("--contenders", help=f"whom to measure, as patterns (default: all; quick: {QUICK_CONTENDERS})")
    group.addoption("--kubeconfig", type=Path, help="of the API server that contenders ask (default: the lab's own)")
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
    group.addoption(
        "--start-limit",
        type=float,
        metavar="SECONDS",
        help=f"that contenders have to be ready (default: {Plan().start_limit:g}; quick: {Plan.quick().start_limit:g})",
    )
    group.addoption("--minutes", type=float, help="after so many, no further question is asked")
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

    def __init__(
        self,
        contenders: Sequence[Contender],
        plan: Plan,
        site: Site,
        sizes: Sequence[int],
        kubeconfig: Path | None = None,
        deadline: Deadline = NEVER,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._deadline = deadline
        self.contenders = contenders
        self.plan = plan
        self.site = site
        self.aside_at = ASIDE_AT if ASIDE_AT in sizes else sizes[0]
        self._stack = ExitStack()
        self._current: Arena | None = None
        self._current_is: tuple[int, bool] | None = None
        self._failed: dict[tuple[int, bool], str] = {}
        self._too_slow: dict[str, int] = {}  #: with so many Services, and so with more

    def of(self, services: int, *, asides: bool = True) -> Arena:
        """Without `asides`, those contenders that differ little from another one take no part.

        One that could not be built is not tried again: it took its time, and the next question can do without.
        """
        wanted = (services, asides)
        if wanted in self._failed:
            pytest.fail(f"its contenders could not be started, see above: {self._failed[wanted]}", pytrace=False)
        if self._current is None or self._current_is != wanted:
            self.close()
            try:
                self._current = self._built(services, asides=asides)
            except BaseException as error:
                self._failed[wanted] = str(error)
                raise
            self._current_is = wanted
        return self._current

    def _built(self, services: int, *, asides: bool) -> Arena:
        taking_part = [c for c in self.contenders if not c.aside or (asides and services == self.aside_at)]
        excused = {
            name: f"TOO SLOW: with {fewer:,} Services, and not tried with more"
            for name, fewer in self._too_slow.items()
            if fewer < services
        }
        building = arena(services, taking_part, self.plan, self.site, excused, self._kubeconfig, self._deadline)
        built = self._stack.enter_context(building)
        for entrant in built.entrants:
            if entrant.trouble.startswith("TOO SLOW"):
                self._too_slow.setdefault(entrant.name, services)
        return built

    def close(self) -> None:
        self._current = None
        self._stack.close()


def plan_of(config: pytest.Config) -> Plan:
    option = config.getoption
    plan = Plan.quick() if option("--quick") else Plan()
    return replace(
        plan, rounds=option("--rounds") or plan.rounds, start_limit=option("--start-limit") or plan.start_limit
    )


@pytest.fixture(scope="session")
def plan(request: pytest.FixtureRequest) -> Plan:
    return plan_of(request.config)


@pytest.fixture(scope="session")
def arenas(request: pytest.FixtureRequest, plan: Plan) -> Iterator[Arenas]:
    config = request.config
    deadline = session_of(config).deadline
    kubeconfig: Path | None = config.getoption("--kubeconfig")
    all_of_them = Arenas(contenders_of(config), plan, site_of(config), scales(config, None), kubeconfig, deadline)
    try:
        yield all_of_them
    finally:
        all_of_them.close()
        all_of_them.site.close()


@pytest.fixture(scope="session")
def record(request: pytest.FixtureRequest) -> Record:
    """Put figures in; they are saved after each question."""
    return session_of(request.config).record


@pytest.fixture
def stage(arenas: Arenas, record: Record, scale: int, request: pytest.FixtureRequest) -> Arena:
    """All contenders with `scale` Services, ready to be measured."""
    arena = arenas.of(scale, asides=request.node.get_closest_marker("takes_minutes") is None)
    record.results.machine |= arenas.site.described
    record.results.contenders |= {c.name: c.version for c in arenas.contenders}
    return arena


def session_of(config: pytest.Config) -> Session:
    session = config.pluginmanager.get_plugin(Session.NAME)
    assert isinstance(session, Session)
    return session
