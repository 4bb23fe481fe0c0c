"""The numbers that the engine knows service ports by, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from dataplane.table import Family

ROOM = 4096
"""So many numbers more than were in use the last time are given out before it is asked again which are in use."""


class Owners:
    """A number for each service port, and for each memory of affinity and family: never 0, never given out again.

    `in_use` tells which the engine still knows; the others are forgotten now and then, or names that never come back
    would fill the memory.
    """

    def __init__(self, in_use: Callable[[], Collection[int]]) -> None:
        self._in_use = in_use
        self._numbers: dict[str | tuple[str, Family], int] = {}
        self._meanings: dict[int, str | tuple[str, Family]] = {}
        self._next = 1
        self._most = ROOM

    def number_of(self, service: str) -> int:
        """The number of a service port (``namespace/name:port``)."""
        return self._numbers.get(service) or self._new(service)

    def numbers_of(self, services: Sequence[str]) -> list[int]:
        """The numbers of so many service ports."""
        new = dict.fromkeys(service for service in services if service not in self._numbers)
        numbers = range(self._next, self._next + len(new))
        self._numbers.update(zip(new, numbers, strict=True))
        self._meanings.update(zip(numbers, new, strict=True))
        self._next = numbers.stop
        return list(map(self._numbers.__getitem__, services))

    def number_of_affinity(self, name: str, family: Family) -> int:
        """The number of what is remembered under this name (`Affinity.name`) of clients of this family."""
        return self._numbers.get((name, family)) or self._new((name, family))

    def service(self, number: int) -> str:
        """The service port that has this number. KeyError if the engine knows it no more."""
        meaning = self._meanings[number]
        if not isinstance(meaning, str):
            raise KeyError(number)
        return meaning

    def affinity(self, number: int) -> tuple[str, Family]:
        """The name and the family that have this number, likewise."""
        meaning = self._meanings[number]
        if isinstance(meaning, str):
            raise KeyError(number)
        return meaning

    def affinities(self) -> dict[int, tuple[str, Family]]:
        """The names and families of all memories of affinity, by number."""
        return {number: meaning for number, meaning in self._meanings.items() if not isinstance(meaning, str)}

    def tidy(self, frontends: int) -> None:
        """Forget what is not in use, if there may be much of it. To be called when nothing is half done.

        `frontends` is how many there are: as long as there are about as many numbers, most must be in use.
        """
        if len(self._numbers) <= max(self._most, 2 * frontends):
            return
        used = set(self._in_use())
        self._numbers = {meaning: number for meaning, number in self._numbers.items() if number in used}
        self._meanings = {number: meaning for meaning, number in self._numbers.items()}
        self._most = 2 * len(self._numbers) + ROOM

    def _new(self, meaning: str | tuple[str, Family]) -> int:
        number, self._next = self._next, self._next + 1
        self._numbers[meaning] = number
        self._meanings[number] = meaning
        return number
