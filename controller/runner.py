"""When to synchronise: soon after a change, not too often, again after a failure, and once in a while anyway.

Any number of requests while a run waits or is under way become one further run. Intervals count from the end of
a run to the start of the next, so a slow dataplane never runs without a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dataplane.interface import DataplaneError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """The intervals, in seconds.

    `minimum` lies between two runs. A failed run is repeated after `retry_first`, then twice as long each time, up
    to `retry_most`. A request begins that count anew: what it asks for was never tried. Without any request a run
    happens after `maximum`.
    """

    minimum: float = 0.05
    retry_first: float = 0.5
    retry_most: float = 30.0
    maximum: float = 3600.0

    def wait(self, *, requested: bool, failures: int) -> float:
        """How long after the end of a run the next one starts. `failures`: how many failed since the last request."""
        if requested:
            return self.minimum
        if failures:
            # The exponent is bounded because the number of failures is not.
            retry = min(self.retry_first * 2.0 ** min(failures - 1, 32), self.retry_most, self.maximum)
            return max(self.minimum, retry)
        return max(self.minimum, self.maximum)


class Runner:
    """Runs `work` at the given pace. A run that raises DataplaneError has failed, and is repeated.

    So is one that returns what it had to leave for later, in words; None and "" mean that nothing is left.
    """

    def __init__(self, work: Callable[[], Awaitable[str | None]], pace: Pace) -> None:
        self._work = work
        self._pace = pace
        self._requested = asyncio.Event()
        self.failures = 0  #: runs that failed, or left something to do, since the last that did not or was asked for

    def request(self) -> None:
        """Something changed: run as soon as the pace allows."""
        self._requested.set()

    async def run(self) -> None:
        """For ever. The first run waits for the first request."""
        await self._requested.wait()
        while True:
            if self._requested.is_set():
                # Over a stream of changes the waits would grow, though none is waited for, and the one that counts,
                # after the last change, would be the longest.
                self._requested.clear()
                self.failures = 0
            try:
                left = await self._work()
                self.failures = self.failures + 1 if left else 0
                if left:
                    _log.warning("synced, but not all is done, again in %g s at the latest: %s", self._again, left)
            except DataplaneError as error:
                self.failures += 1
                _log.error("sync failed (try %d), again in %g s at the latest: %s", self.failures, self._again, error)
            await self._pause()

    @property
    def _again(self) -> float:
        return self._pace.wait(requested=False, failures=self.failures)

    async def _pause(self) -> None:
        """Wait until the next run is due: shorter when a request comes in meanwhile."""
        await asyncio.sleep(self._pace.wait(requested=True, failures=self.failures))
        rest = self._pace.wait(requested=False, failures=self.failures) - self._pace.minimum
        # Not asyncio.wait_for: before Python 3.12 it may swallow a cancellation that comes together with a request.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(rest, 0)):
                await self._requested.wait()
