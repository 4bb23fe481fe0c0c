"""When something has to be over. A run has one, and whatever takes part in it asks what is left."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """A moment of time.monotonic(); without one there is all the time in the world."""

    at: float = math.inf

    @staticmethod
    def after(seconds: float) -> Deadline:
        return Deadline(time.monotonic() + seconds)

    def within(self, seconds: float) -> Deadline:
        """This one, or so many seconds from now, whichever is sooner."""
        return min(self, Deadline.after(seconds), key=lambda deadline: deadline.at)

    @property
    def left(self) -> float:
        """Seconds, of which there are less than none when it is over."""
        return self.at - time.monotonic()

    @property
    def over(self) -> bool:
        return self.left <= 0
