"""A line that is not perfect, before any port: packets are lost, doubled, damaged, late, and out of order.

In the manner of netem(8), and of smoltcp's fault injector. Each packet draws once for each fault, whether that can
happen or not: so what befalls it by one fault does not depend on how probable the others are, and what is lost at one
rate of losses is lost at a higher one too.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from dataplane.errors import InputError
from dataplane.userspace.batch import Link
from dataplane.userspace.stepwise.interface import StepPort

REORDERED_FOR = 0.1
"""Seconds that a packet waits for another to overtake it, before it goes on all the same."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How probable each fault is, from 0 to 1, for each packet; `delay` is the longest in seconds, and each packet has
    one up to that. InputError if one is none."""

    drop: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0  #: one bit, anywhere in the packet, is the other way round
    reorder: float = 0.0  #: waits until the next one has passed
    delay: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= (1 if field.name != "delay" else 3600):
                expected = "seconds, up to an hour" if field.name == "delay" else "a probability from 0 to 1"
                raise InputError(f"{field.name} {value:g}: expected {expected}")


class Line:
    """One direction: packets go in, and come out when it is their time."""

    def __init__(self, faults: Faults, chance: random.Random) -> None:
        self._faults, self._chance = faults, chance
        self._on_their_way: list[tuple[float, int, bytes]] = []  # a heap: when, and in the order of their coming
        self._overtaken: tuple[float, bytes] | None = None  # when it would come out otherwise
        self._count = 0

    def put(self, packet: bytes, now: float) -> None:
        faults = self._faults
        drop, duplicate, corrupt, reorder, delay, bit = (self._chance.random() for _ in range(6))
        if drop < faults.drop:
            return
        if corrupt < faults.corrupt and packet:
            packet = _flipped(packet, int(bit * 8 * len(packet)))
        until = now + delay * faults.delay
        if reorder < faults.reorder and self._overtaken is None:
            self._overtaken = (until, packet)
            return
        for _ in range(2 if duplicate < faults.duplicate else 1):
            self._add(until, packet)
        if self._overtaken is not None:
            self._add(max(until, self._overtaken[0]), self._overtaken[1])
            self._overtaken = None

    def due(self) -> float | None:
        """When the next one comes out; None if none is on its way."""
        times = [self._on_their_way[0][0]] if self._on_their_way else []
        return min([*times, *([self._overtaken[0] + REORDERED_FOR] if self._overtaken else [])], default=None)

    def take(self, now: float) -> Iterator[bytes]:
        """What has come out until now."""
        if self._overtaken and self._overtaken[0] + REORDERED_FOR <= now:
            self._add(*self._overtaken)
            self._overtaken = None
        while self._on_their_way and self._on_their_way[0][0] <= now:
            yield heapq.heappop(self._on_their_way)[2]

    def _add(self, until: float, packet: bytes) -> None:
        heapq.heappush(self._on_their_way, (until, self._count, packet))
        self._count += 1


class FaultyPort:
    """Another port, with such a line before it in each direction. The same `seed` repeats what happens."""

    def __init__(self, inner: StepPort, faults: Faults, seed: int) -> None:
        self._inner = inner
        self._received = Line(faults, random.Random(f"{seed} in"))
        self._sent = Line(faults, random.Random(f"{seed} out"))

    @property
    def link(self) -> Link:
        return self._inner.link

    def due(self, now: float) -> float | None:
        times = (self._inner.due(now), self._received.due(), self._sent.due())
        return min((max(now, time) for time in times if time is not None), default=None)

    def receive(self, now: float) -> Sequence[bytes]:
        self._pass_on(now)
        for packet in self._inner.receive(now):
            self._received.put(packet, now)
        return list(self._received.take(now))

    def send(self, packet: bytes, now: float) -> None:
        self._sent.put(packet, now)
        self._pass_on(now)

    def _pass_on(self, now: float) -> None:
        for packet in self._sent.take(now):
            self._inner.send(packet, now)


def _flipped(packet: bytes, bit: int) -> bytes:
    damaged = bytearray(packet)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
