"""What every port that is asked step by step can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dataplane.userspace.batch import Link


class StepPort(Protocol):
    """Packets in and out. Times are in seconds, from wherever the port's begin; they never go back."""

    @property
    def link(self) -> Link:
        """What the first byte of each packet belongs to."""

    def due(self, now: float) -> float | None:
        """When there may be packets to receive: `now`, or later. None if nobody can tell, or there will be none."""

    def receive(self, now: float) -> Sequence[bytes]:
        """What has come in until now, in its order."""

    def send(self, packet: bytes, now: float) -> None:
        """Give it to whoever is at the other end. What is not taken is lost."""
