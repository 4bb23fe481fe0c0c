"""Which items need a look, and when: each at most once, and later again if it failed."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

FIRST_DELAY = 0.005  #: seconds before the first retry; doubled at each further one
LONGEST_DELAY = 30.0

T = TypeVar("T", bound=Hashable)


class WorkQueue(Generic[T]):
    """Items in the order in which they were added. One that waits already is not added again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: dict[T, None] = {}
        self._due: dict[T, float] = {}  # when an item is to be added
        self._later: list[tuple[float, int, T]] = []  # the same as a heap, with entries that are outdated
        self._failures: dict[T, int] = {}
        self._counter = itertools.count()
        self._changed = asyncio.Event()

    def has_work(self) -> bool:
        """Whether an item waits for nothing but its turn."""
        self._collect_due()
        return bool(self._ready)

    def add(self, item: T) -> None:
        self._ready[item] = None
        self._changed.set()

    def add_after(self, item: T, seconds: float) -> None:
        """Add it when this time has passed, unless that is to happen earlier anyway."""
        when = self._clock() + seconds
        if when < self._due.get(item, float("inf")):
            self._due[item] = when
            heapq.heappush(self._later, (when, next(self._counter), item))
            self._changed.set()

    def retry(self, item: T) -> float:
        """Add it again after a delay that doubles with each failure in a row. Returns the delay in seconds."""
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        delay = min(FIRST_DELAY * 2.0 ** min(failures, 20), LONGEST_DELAY)
        self.add_after(item, delay)
        return delay

    def succeeded(self, item: T) -> None:
        self._failures.pop(item, None)

    def take(self) -> T:
        """The next item; there must be one (see `has_work`)."""
        item = next(iter(self._ready))
        del self._ready[item]
        return item

    async def get(self) -> T:
        """The next item, as soon as there is one."""
        while True:
            self._changed.clear()
            wait = self._collect_due()
            if self._ready:
                return self.take()
            # Not asyncio.wait_for: before Python 3.12 it may swallow a cancellation that comes with a change.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    def _collect_due(self) -> float | None:
        """Add what is due. Returns the seconds until the next item is, or None."""
        now = self._clock()
        while self._later:
            when, _, item = self._later[0]
            if self._due.get(item) == when:
                if when > now:
                    return when - now
                del self._due[item]
                self._ready[item] = None
            heapq.heappop(self._later)
        return None
