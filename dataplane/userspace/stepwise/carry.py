"""An engine at work on a port, step by step: what it sends on or answers goes back out by the port it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dataplane.reference import Outcome
from dataplane.userspace.engine import Engine
from dataplane.userspace.result import Result
from dataplane.userspace.stepwise.interface import StepPort

Where = Callable[[bytes], str | None]
"""The interface that a packet came in on, or None if this host itself sends it."""


@dataclass(frozen=True, slots=True)
class Carried:
    """One packet: as it came, or None for a fragment that has waited until now; what was done; and when."""

    packet: bytes | None
    result: Result
    seconds: float

    @property
    def sent(self) -> bool:
        """Whether something went out in its place: itself, translated or not, or an answer to it."""
        return self.result.outcome in (Outcome.FORWARD, Outcome.PASS) or self.result.answered


def carry(engine: Engine, port: StepPort, where: Where, now: float = 0.0) -> Iterator[Carried]:
    """Go on from one moment that packets are due to the next, until nothing is."""
    while (due := port.due(now)) is not None:
        now = due
        yield from step(engine, port, where, now)


def step(engine: Engine, port: StepPort, where: Where, now: float) -> Iterator[Carried]:
    """What has come in until now goes through the engine, and what comes of it goes out."""
    for packet in port.receive(now):
        result = engine.send(packet, now, where(packet), port.link)
        for carried in (Carried(packet, result, now), *(Carried(None, piece, now) for piece in engine.released())):
            if carried.sent:
                port.send(carried.result.data, now)
            yield carried
