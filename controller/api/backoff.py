"""How long to wait after one more failure."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Waits that double from `first` up to `most` seconds, spread at random.

    The spread is what keeps all nodes of a cluster from knocking at the same moment when their API server is back.
    """

    def __init__(self, first: float = 0.8, most: float = 30.0, chance: Callable[[], float] = random.random) -> None:
        """`chance` gives numbers from 0 to 1."""
        self._first = first
        self._most = most
        self._chance = chance
        self._failures = 0

    def next(self) -> float:
        """The seconds to wait now: `first` to twice that after the first failure, at last half `most` to `most`."""
        self._failures += 1
        # The exponent is bounded because the number of failures is not.
        span = min(self._most, self._first * 2.0 ** min(self._failures, 32))
        return span * (1 + self._chance()) / 2

    def reset(self) -> None:
        """It went well: begin anew."""
        self._failures = 0
