"""Numbers that stay with what they were given to.

The engine knows a backend by a small number: its traffic is counted there, clients with affinity are sent there.
The number must mean the same backend from one table to the next, and another one only when nobody can still mean
the old.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from dataplane.interface import DataplaneError

K = TypeVar("K", bound=Hashable)


class Slots(Generic[K]):
    """Gives out the numbers from `first` up to, and without, `limit`.

    A key that nobody holds keeps its number, in case it comes back, until the number is needed for another. Then it
    is taken away from the key that has waited longest, unless `busy` says that it is still in use elsewhere;
    `recycled` is told. DataplaneError when all numbers are taken; `what` says of what there are too many.
    """

    def __init__(
        self,
        what: str,
        first: int,
        limit: int,
        busy: Callable[[int], bool] = lambda slot: False,
        recycled: Callable[[int], None] = lambda slot: None,
    ) -> None:
        self._what, self._next, self._limit = what, first, limit
        self._busy, self._recycled = busy, recycled
        self._known: dict[K, list[int]] = {}  # [number, holders]
        self._keys: dict[int, K] = {}
        self._resting: deque[K] = deque()

    def __len__(self) -> int:
        """How many keys have a number, those that nobody holds among them."""
        return len(self._known)

    @property
    def end(self) -> int:
        """One more than the greatest number given out so far."""
        return self._next

    def items(self) -> list[tuple[K, int]]:
        return [(key, entry[0]) for key, entry in self._known.items()]

    def number(self, key: K) -> int | None:
        """The number of a key that somebody holds."""
        entry = self._known.get(key)
        return entry[0] if entry is not None and entry[1] else None

    def slot(self, key: K) -> int | None:
        """The number that a key has, whether or not somebody holds it still."""
        entry = self._known.get(key)
        return entry[0] if entry is not None else None

    def key(self, number: int) -> K:
        """The key that has this number, held or not. KeyError if none has."""
        return self._keys[number]

    def take(self, keys: Sequence[K]) -> list[int]:
        """The numbers of these keys, each held once more; or none is, if this raises."""
        known, taken = self._known, []
        try:
            for key in keys:
                entry = known.get(key)
                if entry is None:
                    entry = known[key] = [self._new(), 0]
                    self._keys[entry[0]] = key
                entry[1] += 1
                taken.append(entry[0])
        except DataplaneError:
            self.give_back(keys[: len(taken)])
            raise
        return taken

    def give_back(self, keys: Sequence[K]) -> None:
        """Undo one `take`."""
        for key in keys:
            entry = self._known[key]
            entry[1] -= 1
            if not entry[1]:
                self._resting.append(key)

    def _new(self) -> int:
        if self._next < self._limit:
            self._next += 1
            return self._next - 1
        for _ in range(len(self._resting)):
            key = self._resting.popleft()
            entry = self._known.get(key)
            if entry is None or entry[1]:
                continue  # it came back, or was listed twice
            if self._busy(entry[0]):
                self._resting.append(key)
                continue
            del self._known[key]
            self._recycled(entry[0])
            return entry[0]
        raise DataplaneError(f"the engine has no room for more than {self._limit} {self._what}")
