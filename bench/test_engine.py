"""What does a packet cost in the C engine, and what does a table?

No root, no network: packets in memory, in batches of 256, one after the other (`engine_driver.c`). Every scenario also
checks that each packet met what it should. The bars are printed beside the figures; nothing fails for being slow.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from bench import engine_instructions
from bench.engine_batches import Driver, Run
from bench.engine_scenarios import SCENARIOS, Scenario, table
from bench.figure import Figure
from bench.harness.record import Record
from dataplane.persistent_map import PersistentMap
from dataplane.table import Family, ForwardingTable, Frontend, FrontendKey
from dataplane.userspace.engine import Engine
from dataplane.userspace.image import Host
from dataplane.userspace.limits import Limits
from native.library import ffi, lib

LIMITS = Limits(flows=1 << 21)

ENGINES = 7
"""A table is loaded into so many. The first of a process also waits for memory that the system has to provide."""


@pytest.fixture(scope="session")
def engine_figures(record: Record) -> list[Figure]:
    return record.sheet("What does a packet cost in the C engine, and what does a table?")


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    return Driver(tmp_path_factory.mktemp("driver"))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: f"{s.name}, {s.services} Services")
def test_what_a_packet_costs(scenario: Scenario, driver: Driver, engine_figures: list[Figure]) -> None:
    with Engine(Host(), limits=LIMITS, seed=1) as engine:
        engine.apply(table(scenario.services, (scenario.family,)))
        run = Run(driver, engine, scenario)
        run.open()
        nanoseconds = sorted(chain.from_iterable(run.timed()))
        engine_figures += [
            Figure("the engine", scenario.services, scenario.name, _at(nanoseconds, 0.5), "ns", scenario.bar),
            Figure("the engine", scenario.services, f"{scenario.name}, p99", _at(nanoseconds, 0.99), "ns"),
        ]


def test_what_a_packet_costs_after_something_else(driver: Driver, engine_figures: list[Figure]) -> None:
    """Before each batch the core has filled its own caches with other things."""
    scenario = next(s for s in SCENARIOS if s.name == "tcp-v4-lru-diverse")
    with Engine(Host(), limits=LIMITS, seed=1) as engine:
        engine.apply(table(scenario.services, (scenario.family,)))
        for name, of in (("tcp-v4-lru-diverse", engine), ("empty pipeline", None)):
            run = Run(driver, of, scenario, cold=True)
            run.open()
            nanoseconds = sorted(chain.from_iterable(run.timed(1000)))
            figure = Figure(
                "the engine" if of else "this machine", 1, f"{name}, cold caches", _at(nanoseconds, 0.5), "ns"
            )
            engine_figures.append(figure)


@pytest.mark.parametrize("name", ["tcp-v4-lru-diverse", "tcp-v4-ch-diverse"])
def test_what_a_packet_costs_among_many_services(name: str, driver: Driver, engine_figures: list[Figure]) -> None:
    """Beside one Service, a few batches each in turns: what else the machine does meets both alike."""
    many = next(s for s in SCENARIOS if s.name == name and s.services > 1)
    scenarios = (many, replace(many, services=1))
    with Engine(Host(), limits=LIMITS, seed=1) as engine, Engine(Host(), limits=LIMITS, seed=1) as other:
        runs = []
        for of, scenario in zip((engine, other), scenarios, strict=True):
            of.apply(table(scenario.services, (many.family,)))
            runs.append(Run(driver, of, scenario))
            runs[-1].open()
        turns = zip(*(run.timed(turn=16) for run in runs), strict=True)
        of_many, of_one = (sorted(chain.from_iterable(spent)) for spent in zip(*turns, strict=True))
        ratio = _at(of_many, 0.5) / _at(of_one, 0.5)
        engine_figures.append(
            Figure("the engine", many.services, f"{name}, over that with one Service", ratio, "times", 1.1)
        )


def test_how_many_instructions_a_packet_takes(engine_figures: list[Figure], tmp_path: Path) -> None:
    missing = engine_instructions.why_not()
    if missing:
        pytest.skip(missing)
    for scenario, instructions in engine_instructions.count(tmp_path).items():
        engine_figures.append(Figure("the engine", scenario.services, scenario.name, instructions, "instructions"))


def test_what_no_engine_can_be_faster_than(driver: Driver, engine_figures: list[Figure]) -> None:
    run = Run(driver, None, next(s for s in SCENARIOS if s.name == "tcp-v4-lru-diverse"))
    run.open()
    parsed = sorted(chain.from_iterable(run.timed()))
    large = bytearray(1 << 28)
    waited = driver.library.driver_memory(driver.ffi.from_buffer(large), len(large), 1 << 20)
    engine_figures += [
        Figure("this machine", 1, "empty pipeline: headers read and copied", _at(parsed, 0.5), "ns"),
        Figure("this machine", 1, "one random access to memory", waited, "ns"),
    ]


def test_what_a_table_costs(services: int, engine_figures: list[Figure]) -> None:
    made = table(services, (Family.IPV4,))
    # As the compiler hands them over: what did not change is the same.
    frontends = PersistentMap[FrontendKey, Frontend]().with_changes(made.frontends)
    one_less = frontends.with_changes({next(iter(frontends)): None})
    full, changed = (replace(made, frontends=each) for each in (frontends, one_less))
    bar, bar_of_change = (100.0, 5.0) if services == 10_000 else (None, None)
    spent = [_table_times(full, changed) for _ in range(ENGINES)]
    cold, again = ([1000 * seconds for seconds in column] for column in zip(*spent, strict=True))
    engine_figures += [
        Figure("the engine", services, "everything into the engine", statistics.median(cold), "ms", bar),
        Figure("the engine", services, "everything into the engine, the first one", cold[0], "ms"),
        Figure("the engine", services, "one frontend changed", statistics.median(again), "ms", bar_of_change),
        Figure("the engine", services, "memory of a million flows", _memory_of_a_million_flows(), "MB"),
    ]


def _table_times(full: ForwardingTable, changed: ForwardingTable) -> tuple[float, float]:
    """Seconds for the first table of an engine, and for the one after it."""
    gc.collect()  # what the measurements before have left is not this one's to walk
    with Engine(Host(), limits=LIMITS, seed=1) as engine:
        return engine.apply(full).seconds, engine.apply(changed).seconds


def test_what_a_maglev_table_costs(engine_figures: list[Figure]) -> None:
    backends = ffi.new("struct maglev_backend[]", 100)
    for number, backend in enumerate(backends):
        backend.name = random.Random(number).getrandbits(64)
        backend.weight = 1
    slots = ffi.new("uint16_t[]", lib.MAGLEV_SLOTS)
    spent = []
    for _ in range(20):
        begin = time.perf_counter()
        lib.maglev_build(slots, backends, len(backends))
        spent.append((time.perf_counter() - begin) * 1000)
    engine_figures.append(Figure("the engine", 1, "a Maglev table of 100 backends", min(spent), "ms", 2))


def _memory_of_a_million_flows() -> float:
    small, large = (_memory_with(flows) for flows in (1 << 10, (1 << 10) + 1_000_000))
    return (large - small) / 1e6


def _memory_with(flows: int) -> int:
    with Engine(limits=Limits(flows=flows), seed=1) as engine:
        return engine.memory


def _at(values: list[float], part: float) -> float:
    return values[min(int(len(values) * part), len(values) - 1)]
