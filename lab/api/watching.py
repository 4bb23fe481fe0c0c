"""One watch: a position in a resource's history, and which of the changes it wants to see."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lab.api.errors import Object
from lab.api.history import Change, History, Stored
from lab.api.registry import Resource
from lab.api.selectors import FieldSelector, Selector

_BATCH = 500  # changes looked at before others get their turn


class Event(NamedTuple):
    """What a watcher sees: ADDED, MODIFIED or DELETED, and the object as of then."""

    type: str
    stored: Stored

    @property
    def object(self) -> Object:
        return self.stored.object


@dataclass(frozen=True, slots=True)
class Filter:
    """Which objects a list or a watch is about. No namespace: all of them."""

    resource: Resource
    namespace: str | None = None
    labels: Selector | None = None
    fields: FieldSelector | None = None

    def span(self, keys: Sequence[str], start: str = "") -> tuple[int, int]:
        """The part of the sorted keys that can match, from the key `start` on."""
        first, last = 0, len(keys)
        if self.namespace and self.resource.namespaced:
            first = bisect.bisect_left(keys, self.namespace + "/")
            last = bisect.bisect_left(keys, self.namespace + "0")  # "0" comes right after "/"
        return (max(first, bisect.bisect_left(keys, start)) if start else first, last)

    def matches(self, stored: Stored) -> bool:
        obj = stored.object
        return (
            (not self.namespace or not self.resource.namespaced or obj["metadata"]["namespace"] == self.namespace)
            and (self.labels is None or self.labels.matches_object(obj))
            and (self.fields is None or self.fields.matches_object(obj))
        )


class Watch:
    """Reads a history from a position on. One that reads too slowly gets ApiError 410."""

    def __init__(self, history: History, which: Filter, position: int, initial: Sequence[Stored] = ()) -> None:
        self._history = history
        self._filter = which
        self._position = position
        self._initial = initial

    def ready(self) -> list[Event]:
        """What can be seen now, a bounded number of events at once; empty if there is nothing new."""
        if self._initial:
            events = [Event("ADDED", stored) for stored in self._initial]
            self._initial = ()
            return events
        while True:
            changes = self._history.read(self._position, _BATCH)
            self._position += len(changes)
            events = [event for change in changes if (event := self._seen(change))]
            if events or not changes:
                return events

    async def wait(self, seconds: float | None) -> bool:
        """Wait until something changes. False if nothing did in this time (None: wait for ever)."""
        if self._initial or self._position < self._history.end:
            return True
        return await self._history.grown(seconds)

    def _seen(self, change: Change) -> Event | None:
        """How a change looks through the filter: what begins to match is ADDED, what ceases to is DELETED."""
        now = change.type != "DELETED" and self._filter.matches(change.stored)
        before = change.previous is not None and self._filter.matches(change.previous)
        if now:
            return Event("MODIFIED" if before else "ADDED", change.stored)
        if not before:
            return None
        if change.type == "DELETED":
            return Event("DELETED", change.stored)
        assert change.previous is not None
        return Event("DELETED", change.previous.at_version(change.version))
