"""The objects of one resource, with indexes, always as the store has them now.

The store is in this process and answers at once, so nothing here can be out of date: before every look the
collection reads what its watch has for it. That makes a reconcile, which never waits in between, a
transaction: it sees its own writes, nobody else writes meanwhile, and no update can conflict. Controllers of a real
cluster look at caches that lag behind and need counters ("expectations") to bear it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

from lab.api.errors import ApiError, Object
from lab.api.registry import Resource
from lab.api.store import Store
from lab.api.watching import Filter
from lab.controllers.objects import Key, key_of


@dataclass(frozen=True, slots=True)
class Change:
    """An object came (`old` is None), went (`new` is None) or is different."""

    resource: Resource
    old: Object | None
    new: Object | None

    @property
    def object(self) -> Object:
        """The latest state."""
        found = self.new or self.old
        assert found is not None
        return found


Index = Callable[[Object], Iterable[Hashable]]  #: the values under which an object is to be found


class Collection:
    """Follows one resource and tells every change to `on_change`, in order, each once."""

    def __init__(
        self,
        store: Store,
        resource: Resource,
        indexes: Mapping[str, Index],
        on_change: Callable[[Change], None],
    ) -> None:
        self.resource = resource
        self._store = store
        self._filter = Filter(resource)
        self._index_of = indexes
        self._on_change = on_change
        self._objects: dict[Key, Object] = {}
        self._indexed: dict[tuple[str, Hashable], dict[Key, Object]] = {}
        self._watch = store.watching(resource, self._filter, None)
        self._catching_up = False

    def get(self, key: Key) -> Object | None:
        self.catch_up()
        return self._objects.get(key)

    def all(self) -> list[Object]:
        self.catch_up()
        return list(self._objects.values())

    def where(self, index: str, value: Hashable) -> list[Object]:
        """The objects that this index finds under this value."""
        self.catch_up()
        return list(self._indexed.get((index, value), {}).values())

    def catch_up(self) -> None:
        """Take in everything that has happened so far.

        Whoever looks from within `on_change` sees the objects as they were after the change that it is told of.
        """
        if self._catching_up:
            return
        self._catching_up = True
        try:
            self._read_all()
        finally:
            self._catching_up = False

    def _read_all(self) -> None:
        while True:
            try:
                events = self._watch.ready()
            except ApiError:  # 410: more happened at once than the store remembers
                self._start_again()
                continue
            if not events:
                return
            for event in events:
                key = key_of(event.object)
                self._put(key, None if event.type == "DELETED" else event.object)

    async def wait(self) -> None:
        """Return when there is something to catch up with."""
        await self._watch.wait(None)

    def _start_again(self) -> None:
        objects, version = self._store.list(self.resource)
        self._watch = self._store.watching(self.resource, self._filter, int(version))
        current = {key_of(obj): obj for obj in objects}
        for key in [*self._objects.keys() - current.keys(), *current]:
            self._put(key, current.get(key))

    def _put(self, key: Key, new: Object | None) -> None:
        old = self._objects.get(key)
        if new is old:
            return
        if old is not None:
            del self._objects[key]
            for place in self._places(old):
                del self._indexed[place][key]
                if not self._indexed[place]:
                    del self._indexed[place]
        if new is not None:
            self._objects[key] = new
            for place in self._places(new):
                self._indexed.setdefault(place, {})[key] = new
        self._on_change(Change(self.resource, old, new))

    def _places(self, obj: Object) -> set[tuple[str, Hashable]]:
        return {(name, value) for name, index in self._index_of.items() for value in index(obj)}
