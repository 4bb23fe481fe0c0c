"""A mapping that never changes: what is made from it by a few changes shares all the rest with it.

A copy of a large dict, and a search for what differs between two, touch each entry, and most of that time goes to
waiting for memory. Here the entries lie in shards, each a dict, and a key's hash tells in which. A changed copy has new
shards only where something changed, and two mappings differ only in shards that are not the same object. With N entries
a change costs about N / 256, which with any N that a cluster has is too little to matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

_SHARDS = 256  # a power of two


class PersistentMap(Mapping[K, V]):
    """Compares equal to any mapping with the same entries. Its order is its own, and no other's."""

    __slots__ = ("_length", "_shards")

    def __init__(self) -> None:
        nothing: dict[K, V] = {}
        self._shards: tuple[dict[K, V], ...] = (nothing,) * _SHARDS
        self._length = 0

    def with_changes(self, changes: Mapping[K, V | None]) -> PersistentMap[K, V]:
        """This mapping with these entries. None: there is none under this key then."""
        if not changes:
            return self
        copied: dict[int, dict[K, V]] = {}
        for key, value in changes.items():
            number = hash(key) % _SHARDS
            shard = copied.get(number)
            if shard is None:
                shard = copied[number] = dict(self._shards[number])
            if value is None:
                shard.pop(key, None)
            else:
                shard[key] = value
        new: PersistentMap[K, V] = PersistentMap()
        new._shards = tuple([copied.get(number, shard) for number, shard in enumerate(self._shards)])
        new._length = self._length + sum(len(shard) - len(self._shards[number]) for number, shard in copied.items())
        return new

    def __getitem__(self, key: K) -> V:
        return self._shards[hash(key) % _SHARDS][key]

    def __contains__(self, key: object) -> bool:
        return key in self._shards[hash(key) % _SHARDS]

    def __iter__(self) -> Iterator[K]:
        return chain.from_iterable(self._shards)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return repr(dict(self))


def differing(old: Mapping[K, V], new: Mapping[K, V]) -> Iterable[K]:
    """The keys that do not hold the same object in both: those of `new` in its order, and with them those that went.

    Cheap where one was made from the other by `with_changes`.
    """
    pairs: list[tuple[Mapping[K, V], Mapping[K, V]]] = [] if old is new else [(old, new)]
    if isinstance(old, PersistentMap) and isinstance(new, PersistentMap):
        pairs = [(before, after) for before, after in zip(old._shards, new._shards, strict=True) if before is not after]
    for before, after in pairs:
        for key, value in after.items():
            if before.get(key) is not value:
                yield key
        for key in before:
            if key not in after:
                yield key
