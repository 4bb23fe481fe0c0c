"""Captures as ports: one that packets come from, and a record of all that passes another."""

from __future__ import annotations

from collections.abc import Sequence

from dataplane.userspace.batch import Link
from dataplane.userspace.pcap import Capture, Captured
from dataplane.userspace.stepwise.interface import StepPort


class CapturePort:
    """The packets of a capture come in at their times, the first at 0.0. `sent` is what went out, as another one."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._next = 0
        self._sent: list[Captured] = []
        self._begin = capture.packets[0].nanoseconds if capture.packets else 0

    @property
    def link(self) -> Link:
        return self._capture.link

    @property
    def sent(self) -> Capture:
        return Capture(self.link, tuple(self._sent))

    def due(self, now: float) -> float | None:
        if self._next == len(self._capture.packets):
            return None
        # Times that go back, as captures on several processors have them, count as no time passed.
        return max(now, (self._capture.packets[self._next].nanoseconds - self._begin) / 1e9)

    def receive(self, now: float) -> Sequence[bytes]:
        begin = self._next
        while self.due(now) == now:
            self._next += 1
        return [captured.data for captured in self._capture.packets[begin : self._next]]

    def send(self, packet: bytes, now: float) -> None:
        self._sent.append(Captured(self._begin + round(now * 1e9), packet))


class RecordedPort:
    """Another port, and a `record` of what it received and sent; `begin` is its time 0.0 in nanoseconds since 1970."""

    def __init__(self, inner: StepPort, begin: int = 0) -> None:
        self._inner, self._begin = inner, begin
        self._packets: list[Captured] = []

    @property
    def link(self) -> Link:
        return self._inner.link

    @property
    def record(self) -> Capture:
        return Capture(self.link, tuple(self._packets))

    def due(self, now: float) -> float | None:
        return self._inner.due(now)

    def receive(self, now: float) -> Sequence[bytes]:
        received = self._inner.receive(now)
        for packet in received:
            self._note(packet, now)
        return received

    def send(self, packet: bytes, now: float) -> None:
        self._note(packet, now)
        self._inner.send(packet, now)

    def _note(self, packet: bytes, now: float) -> None:
        self._packets.append(Captured(self._begin + round(now * 1e9), packet))
