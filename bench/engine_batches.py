"""The packets of a scenario, sent through the engine batch by batch by `engine_driver.c`."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from cffi import FFI

from bench.engine_scenarios import STRIDE, Scenario, packets
from dataplane.reference import Outcome
from dataplane.table import Protocol
from dataplane.userspace.engine import Engine
from dataplane.userspace.result import OUTCOMES
from native.build_ffi import COMPILER_FLAGS, FOLDER
from native.library import ffi, lib

BATCH = 256
MEASURED = 4000  #: batches of a scenario whose packets can come again and again
COLD = 4 << 20  #: bytes written between two batches where caches are to be cold: more than a core has for itself

_DECLARED = """
    struct driver {
        void *run; void *engine; const uint8_t *packets; uint8_t *memory;
        uint32_t batch, stride, length, outcome; uint8_t *elsewhere; uint64_t else_bytes;
    };
    uint32_t driver_run(const struct driver *driver, const uint32_t *order, uint32_t batches, double *nanoseconds);
    void driver_empty(void);
    double driver_memory(uint8_t *memory, uint64_t size, uint32_t count);
"""


def compiled(source: Path, folder: Path, *more: Path) -> Path:
    """A library of a C file beside this one, made in `folder` as the engine is made."""
    library = folder / source.with_suffix(".so").name
    flags = [flag for flag in COMPILER_FLAGS if "visibility" not in flag and flag != "-std=c11"]
    command = [
        "gcc",
        "-std=gnu11",
        *flags,
        "-shared",
        "-fPIC",
        f"-I{FOLDER}",
        *map(str, (source, *more)),
        "-o",
        str(library),
    ]
    subprocess.run(command, check=True)
    return library


class Driver:
    """`engine_driver.c`, compiled in `folder`. What it runs is an address: of `engine_run`, or what is in its place."""

    def __init__(self, folder: Path) -> None:
        source = Path(__file__).with_name("engine_driver.c")
        self.ffi = cast(Any, FFI())
        self.ffi.cdef(_DECLARED)
        self.library = self.ffi.dlopen(str(compiled(source, folder, FOLDER / "packet.c")))
        self.engine_run = int(ffi.cast("uintptr_t", ffi.addressof(lib, "engine_run")))
        self.empty = int(self.ffi.cast("uintptr_t", self.library.driver_empty))


class Run:
    """One scenario's packets on their way through an engine, or through the empty pipeline if there is none."""

    def __init__(self, driver: Driver, engine: Engine | None, scenario: Scenario, *, cold: bool = False) -> None:
        self.scenario, self._driver = scenario, driver
        self._memory = bytearray(BATCH * STRIDE + STRIDE)
        self._elsewhere = bytearray(COLD if cold else 0)
        self._chance = random.Random(1)
        buffer = driver.ffi.from_buffer
        address = 0 if engine is None else int(ffi.cast("uintptr_t", engine._engine))
        self._run: Any = driver.ffi.new("struct driver *")
        self._run.run = driver.ffi.cast("void *", driver.empty if engine is None else driver.engine_run)
        self._run.engine = driver.ffi.cast("void *", address)
        memory = buffer("uint8_t[]", self._memory)
        # On a cache line, as the frames of a network card are.
        self._run.memory = memory + -int(driver.ffi.cast("uintptr_t", memory)) % STRIDE
        self._run.batch, self._run.stride = BATCH, STRIDE
        self._run.outcome = OUTCOMES.index(Outcome.FORWARD if engine is None else scenario.outcome)
        self._run.elsewhere = buffer("uint8_t[]", self._elsewhere)
        self._run.else_bytes = len(self._elsewhere)

    @property
    def signals(self) -> str:
        """The TCP flags of what is measured."""
        return "R" if self.scenario.special == "R" else "A" if self.scenario.established else "S"

    def open(self) -> None:
        """Let the engine know the flows, if the scenario is about known ones."""
        if self.scenario.established:
            self._load("S" if self.scenario.protocol is Protocol.TCP else "")
            self._send(list(self._each_once()))
        self._load(self.signals)

    def timed(self, batches: int = MEASURED, turn: int = MEASURED) -> Iterator[list[float]]:
        """Nanoseconds for each packet, batch by batch, `turn` batches at a time.

        Flows that are known come in random order. New ones are new only once: of these there are fewer batches.
        """
        again = self.scenario.established or self.scenario.special or self.scenario.flows < BATCH
        order = self._at_random(batches * BATCH) if again else list(self._each_once())
        for begin in range(0, len(order), turn * BATCH):
            yield self._send(order[begin : begin + turn * BATCH])

    def through(self, address: int) -> None:
        """Send what comes through another function than `engine_run`, which calls that."""
        self._run.run = self._driver.ffi.cast("void *", address)

    def _load(self, signals: str) -> None:
        self._packets, self._run.length = packets(self.scenario, signals)
        self._run.packets = self._kept = self._driver.ffi.from_buffer("uint8_t[]", self._packets)

    def _send(self, order: Sequence[int]) -> list[float]:
        """Every packet must meet what it should."""
        batches = len(order) // BATCH
        nanoseconds = self._driver.ffi.new("double[]", batches)
        wrong = self._driver.library.driver_run(
            self._run, self._driver.ffi.new("uint32_t[]", order), batches, nanoseconds
        )
        assert wrong == 0, (self.scenario.name, wrong)
        return list(nanoseconds)

    def _each_once(self) -> Iterator[int]:
        for number in range(max(self.scenario.flows, BATCH)):
            yield number % self.scenario.flows

    def _at_random(self, count: int) -> list[int]:
        flows = self.scenario.flows
        return [0] * count if flows == 1 else self._chance.choices(range(flows), k=count)
