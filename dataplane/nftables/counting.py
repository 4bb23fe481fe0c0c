"""Named things that exist as long as somebody uses them."""

from __future__ import annotations

from collections import Counter
from typing import Generic, NamedTuple, Protocol, TypeVar


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


class Difference(NamedTuple, Generic[T]):
    """What became of the things that were touched."""

    new: dict[str, T]
    changed: dict[str, T]
    gone: dict[str, T]


class Counted(Generic[T]):
    """Counts the users of things by name.

    Uses are counted first and what they mean is found out by `settle`, so that a thing which one user gives up
    and another one takes is not touched at all.
    """

    def __init__(self) -> None:
        self.present: dict[str, T] = {}  #: as of the last `settle`
        self._users: Counter[str] = Counter()
        self._touched: dict[str, T] = {}

    def hold(self, thing: T) -> None:
        """One user more; the thing is from now on as given here."""
        self._users[thing.name] += 1
        self._touched[thing.name] = thing

    def release(self, thing: T) -> None:
        self._users[thing.name] -= 1
        self._touched.setdefault(thing.name, thing)

    def replace(self, thing: T) -> None:
        """The thing is from now on as given here, for all its users."""
        self._touched[thing.name] = thing

    def settle(self) -> Difference[T]:
        difference: Difference[T] = Difference({}, {}, {})
        for name, thing in self._touched.items():
            known = self.present.get(name)
            if not self._users[name]:
                del self._users[name]
                if known is not None:
                    difference.gone[name] = self.present.pop(name)
            elif known is None:
                difference.new[name] = self.present[name] = thing
            elif known != thing:
                difference.changed[name] = self.present[name] = thing
        self._touched = {}
        return difference
