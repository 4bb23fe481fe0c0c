"""The packets of a scenario, sent through the engine batch by batch."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from bench.engine_scenarios import STRIDE, Scenario, packets
from dataplane.table import Protocol
from dataplane.userspace.batch import Batch, Link
from dataplane.userspace.engine import Engine
from dataplane.userspace.result import OUTCOMES
from native.library import ffi

BATCH = 256
MEASURED = 2000  #: batches of a scenario whose packets can come again and again


class Run:
    """One scenario's packets, copied batch by batch to where the engine rewrites them, as a network card would."""

    def __init__(self, engine: Engine, scenario: Scenario) -> None:
        self.engine, self.scenario = engine, scenario
        self.batch = Batch(bytearray(BATCH * STRIDE), BATCH, Link.ETHERNET)

    @property
    def signals(self) -> str:
        """The TCP flags of what is measured."""
        return "R" if self.scenario.special == "R" else "A" if self.scenario.established else "S"

    def open(self) -> None:
        """Let the engine know the flows, if the scenario is about known ones."""
        if self.scenario.established:
            for _ in self.loaded("S" if self.scenario.protocol is Protocol.TCP else ""):
                self.engine.run(self.batch, now=1.0)
                self.check()

    def timed(self) -> Iterator[float]:
        """Nanoseconds for each packet, batch by batch; flows that are known come in random order."""
        for _ in self.loaded(self.signals):
            begin = time.perf_counter_ns()
            self.engine.run(self.batch, now=1.0)
            spent = (time.perf_counter_ns() - begin) / BATCH
            self.check()
            yield spent

    def loaded(self, signals: str) -> Iterator[Batch]:
        """The batch, filled anew each time."""
        memory, length = packets(self.scenario, signals)
        self.batch.clear()
        for position in range(BATCH):
            self.batch.add(position * STRIDE, length, 1)
        for chunk in self._chunks(memory, shuffled=signals == "A"):
            ffi.memmove(self.batch.memory, ffi.from_buffer(chunk), BATCH * STRIDE)
            yield self.batch

    def check(self) -> None:
        """Every packet of the batch met what it should."""
        outcomes = {OUTCOMES[packet.decision.outcome] for packet in self.batch.packets}
        assert outcomes == {self.scenario.outcome}, (self.scenario.name, outcomes)

    def _chunks(self, memory: bytearray, *, shuffled: bool) -> Iterator[bytes | memoryview]:
        view, flows = memoryview(memory), self.scenario.flows
        if flows < BATCH:
            yield from [bytes(memory[:STRIDE]) * BATCH] * (MEASURED if shuffled or not self.scenario.established else 1)
        elif shuffled or self.scenario.special:
            chance = random.Random(1)
            for _ in range(MEASURED):
                yield b"".join(
                    view[at : at + STRIDE] for at in (chance.randrange(flows) * STRIDE for _ in range(BATCH))
                )
        else:
            for begin in range(0, flows * STRIDE, BATCH * STRIDE):
                yield view[begin : begin + BATCH * STRIDE]
