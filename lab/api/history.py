"""What changed, in order: the memory behind every watch and every list in chunks.

Each resource has one `History`, a bounded row of changes. A watcher is nothing but a position in it: no queue per
watcher, and one that is too slow finds its position gone (410) instead of filling the memory. The state at an
earlier version is the present one with the later changes undone, so a list in chunks stays consistent for as long
as the history reaches back, and no copy is kept for it.
"""

from __future__ import annotations

import asyncio
import bisect
from typing import NamedTuple

import msgspec

from lab.api.errors import ApiError, Object, expired

_encoder = msgspec.json.Encoder()


class Stored:
    """One version of one object. Never changed; its JSON is made once, when it is first asked for."""

    __slots__ = ("_json", "key", "object", "version")

    def __init__(self, key: str, version: int, obj: Object) -> None:
        self.key = key  #: ``namespace/name``, or ``name`` of what has no namespace
        self.version = version
        self.object = obj
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        if self._json is None:
            self._json = _encoder.encode(self.object)
        return self._json

    def at_version(self, version: int) -> Stored:
        """The same object as a later event shows it."""
        metadata = self.object["metadata"] | {"resourceVersion": str(version)}
        return Stored(self.key, version, self.object | {"metadata": metadata})


class Change(NamedTuple):
    """One step: ADDED (nothing before), MODIFIED, or DELETED (`stored` is then the last state)."""

    type: str
    stored: Stored
    previous: Stored | None

    @property
    def version(self) -> int:
        return self.stored.version


class History:
    """The last changes of one resource, at least `limit` of them once there were as many."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changes: list[Change] = []
        self._first = 0  # the number of changes[0], counted from the beginning of time
        self._forgotten = 0  # the version of the last change that is no longer held
        self._waiting: set[asyncio.Future[None]] = set()

    def append(self, change: Change) -> None:
        self._changes.append(change)
        if len(self._changes) >= 2 * self._limit:
            self.forget(self._limit)
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def forget(self, keep: int = 0) -> None:
        """Drop all but the last `keep` changes (etcd calls it compaction)."""
        drop = max(len(self._changes) - keep, 0)
        if drop:
            self._forgotten = self._changes[drop - 1].version
            del self._changes[:drop]
            self._first += drop

    @property
    def end(self) -> int:
        """The position after the last change."""
        return self._first + len(self._changes)

    def position_after(self, version: int) -> int:
        """The position of the first change later than this version. ApiError 410 if such changes are gone."""
        if version < self._forgotten:
            raise too_old(version, self._forgotten)
        return self._first + bisect.bisect_right(self._changes, version, key=_version)

    def read(self, position: int, most: int) -> list[Change]:
        """Up to `most` changes from this position on. ApiError 410 if they are gone."""
        start = position - self._first
        if start < 0:
            raise too_old(position, self._first)
        return self._changes[start : start + most]

    def undone_to(self, version: int) -> dict[str, Stored | None]:
        """How the objects changed after this version looked at it, by key; None did not exist."""
        before: dict[str, Stored | None] = {}
        for change in self._changes[self.position_after(version) - self._first :]:
            before.setdefault(change.stored.key, change.previous)
        return before

    async def grown(self, timeout: float | None) -> bool:
        """Wait for the next change. False if none came in this many seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)
        return True


def _version(change: Change) -> int:
    return change.stored.version


def too_old(asked: int, oldest: int) -> ApiError:
    return expired(f"too old resource version: {asked} ({oldest})")
