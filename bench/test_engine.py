"""What does a packet cost in the C engine, and what does a table?

No root, no network: packets in memory, in batches of 256. Every scenario also checks that each packet met what it
should. The bars are printed beside the figures; nothing fails for being slow.
"""

from __future__ import annotations

import random
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cffi import FFI

from bench import engine_instructions
from bench.engine_batches import BATCH, Run
from bench.engine_scenarios import SCENARIOS, STRIDE, Scenario, packets, table
from bench.harness.record import Record
from bench.report import Figure
from dataplane.table import Family, ForwardingTable
from dataplane.userspace.engine import Engine
from dataplane.userspace.image import Host
from dataplane.userspace.limits import Limits
from native.build_ffi import COMPILER_FLAGS, FOLDER
from native.library import ffi, lib

LIMITS = Limits(flows=1 << 21)


@pytest.fixture(scope="session")
def engine_figures(record: Record) -> list[Figure]:
    return record.sheet("What does a packet cost in the C engine, and what does a table?")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: f"{s.name}, {s.services} Services")
def test_what_a_packet_costs(scenario: Scenario, engine_figures: list[Figure]) -> None:
    with Engine(Host(), limits=LIMITS, seed=1) as engine:
        engine.apply(table(scenario.services, (scenario.family,)))
        run = Run(engine, scenario)
        run.open()
        nanoseconds = sorted(run.timed())
        engine_figures += [
            Figure("svcplane", scenario.services, scenario.name, _at(nanoseconds, 0.5), "ns", scenario.bar),
            Figure("svcplane", scenario.services, f"{scenario.name}, p99", _at(nanoseconds, 0.99), "ns"),
        ]


@pytest.mark.parametrize("name", ["tcp-v4-lru-diverse", "tcp-v4-ch-diverse"])
def test_what_a_packet_costs_among_many_services(name: str, engine_figures: list[Figure]) -> None:
    """Beside one Service, batch by batch in turns: what else the machine does meets both alike."""
    many = next(s for s in SCENARIOS if s.name == name and s.services > 1)
    scenarios = (many, replace(many, services=1))
    with Engine(Host(), limits=LIMITS, seed=1) as engine, Engine(Host(), limits=LIMITS, seed=1) as other:
        runs = [Run(e, scenario) for e, scenario in zip((engine, other), scenarios, strict=True)]
        for run in runs:
            run.engine.apply(table(run.scenario.services, (many.family,)))
            run.open()
        of_many, of_one = (
            sorted(spent) for spent in zip(*zip(*(run.timed() for run in runs), strict=True), strict=True)
        )
        ratio = _at(of_many, 0.5) / _at(of_one, 0.5)
        engine_figures.append(
            Figure("svcplane", many.services, f"{name}, over that with one Service", ratio, "times", 1.1)
        )


def test_how_many_instructions_a_packet_takes(engine_figures: list[Figure], tmp_path: Path) -> None:
    missing = engine_instructions.why_not()
    if missing:
        pytest.skip(missing)
    for scenario, instructions in engine_instructions.count(tmp_path).items():
        engine_figures.append(Figure("svcplane", scenario.services, scenario.name, instructions, "instructions"))


def test_what_no_engine_can_be_faster_than(engine_figures: list[Figure], tmp_path: Path) -> None:
    limits = _limits(tmp_path)
    memory, _ = packets(replace(SCENARIOS[0], flows=BATCH), "A")
    own = FFI()
    parsed = min(limits.limits_parse(own.from_buffer(memory), STRIDE, BATCH, 2000) for _ in range(5))
    large = bytearray(1 << 28)
    waited = limits.limits_memory(own.from_buffer(large), len(large), 1 << 20)
    engine_figures += [
        Figure("this machine", 1, "empty pipeline: headers read and copied", parsed, "ns"),
        Figure("this machine", 1, "one random access to memory", waited, "ns"),
    ]


def _limits(folder: Path) -> Any:
    library = folder / "limits.so"
    sources = (Path(__file__).parent / "engine_limits.c", FOLDER / "packet.c")
    flags = [flag for flag in COMPILER_FLAGS if "visibility" not in flag and flag != "-std=c11"]
    subprocess.run(
        ["gcc", "-std=gnu11", *flags, "-shared", "-fPIC", f"-I{FOLDER}", *sources, "-o", library], check=True
    )
    limits = FFI()
    limits.cdef(
        "double limits_parse(uint8_t *memory, uint32_t stride, uint32_t count, uint32_t rounds);"
        "double limits_memory(uint8_t *memory, uint64_t size, uint32_t count);"
    )
    return limits.dlopen(str(library))


def test_what_a_table_costs(services: int, engine_figures: list[Figure]) -> None:
    full = table(services, (Family.IPV4,))
    some = next(iter(full.frontends))
    changed = ForwardingTable(
        {key: frontend for key, frontend in full.frontends.items() if key != some},
        full.cluster_ips,
        full.service_cidrs,
        full.node_addresses,
        full.detect_local,
    )
    with Engine(Host(), limits=LIMITS, seed=1) as engine:
        bar, bar_of_change = (100.0, 5.0) if services == 10_000 else (None, None)
        cold = engine.apply(full).seconds * 1000
        again = engine.apply(changed).seconds * 1000
        engine_figures += [
            Figure("svcplane", services, "everything into the engine", cold, "ms", bar),
            Figure("svcplane", services, "one frontend changed", again, "ms", bar_of_change),
            Figure("svcplane", services, "memory of a million flows", _memory_of_a_million_flows(), "MB"),
        ]


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
    engine_figures.append(Figure("svcplane", 1, "a Maglev table of 100 backends", min(spent), "ms", 2))


def _memory_of_a_million_flows() -> float:
    small, large = (_memory_with(flows) for flows in (1 << 10, (1 << 10) + 1_000_000))
    return (large - small) / 1e6


def _memory_with(flows: int) -> int:
    with Engine(limits=Limits(flows=flows), seed=1) as engine:
        return engine.memory


def _at(values: list[float], part: float) -> float:
    return values[min(int(len(values) * part), len(values) - 1)]
