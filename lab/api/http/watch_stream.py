"""A watch over HTTP: one line of JSON per event, until the client goes, the time is up, or the history is gone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping

import msgspec

from lab.api.errors import ApiError
from lab.api.history import Stored
from lab.api.http.query import filter_of, flag, number
from lab.api.http.routing import Target
from lab.api.http.views import View
from lab.api.store import Store
from lab.api.watching import Watch

_LONGEST = (1800, 3600)  # seconds after which a watch ends if the client does not say
_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


class WatchStream:
    """The lines of one watch. ApiError at construction if it can't begin."""

    def __init__(self, store: Store, target: Target, query: Mapping[str, str], view: View, bookmarks: float) -> None:
        self._store = store
        self._resource = target.resource
        self._view = view
        self._first = True
        version = number(query, "resourceVersion") or 0
        self._streams_list = flag(query, "sendInitialEvents")
        which = filter_of(target, query)
        since = None if self._streams_list or not version else version
        self._watch: Watch = store.watching(target.stored, which, since)
        self._bookmarks = bookmarks if flag(query, "allowWatchBookmarks") else None
        self._seconds = number(query, "timeoutSeconds") or random.uniform(*_LONGEST)

    async def lines(self) -> AsyncIterator[bytes]:
        """Whole lines, several at once where they come quickly."""
        clock = asyncio.get_running_loop().time
        end = clock() + self._seconds
        next_bookmark = clock() + (self._bookmarks or self._seconds)
        try:
            while (now := clock()) < end:
                if found := self._watch.ready():
                    yield b"".join([self._line(event.type, event.stored) for event in found])
                    continue
                if self._streams_list:
                    self._streams_list = False
                    yield self._view.bookmark(self._resource, self._store.version, _INITIAL_EVENTS_END)
                    continue  # while the client read this, more may have happened that no bookmark may cover yet
                if self._bookmarks and now >= next_bookmark:
                    next_bookmark = now + self._bookmarks
                    yield self._view.bookmark(self._resource, self._store.version)
                await self._watch.wait(max(min(end, next_bookmark) - now, 0.001))
            if self._bookmarks:
                while found := self._watch.ready():
                    yield b"".join([self._line(event.type, event.stored) for event in found])
                yield self._view.bookmark(self._resource, self._store.version)
        except ApiError as why:
            yield msgspec.json.encode({"type": "ERROR", "object": why.status}) + b"\n"

    def _line(self, kind: str, stored: Stored) -> bytes:
        line = self._view.event(self._resource, kind, stored, first=self._first)
        self._first = False
        return line
