"""What Maglev's way to pick is worth, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from native.library import ffi, lib


@dataclass(frozen=True, slots=True)
class MaglevReport:
    """What becomes of Maglev's slots.

    `imbalance` is by how much the backend with the most slots has more than its share. `moved` is the part of the
    slots that change hands although their backend stays, when one backend leaves.
    """

    backends: int
    slots: int
    imbalance: float
    moved: float

    def __str__(self) -> str:
        return (
            f"{self.backends} backends on {self.slots} slots: the fullest has {self.imbalance:.2%} more than its share"
            f"; when one leaves, {self.moved:.2%} of the slots move although their backend stays"
        )


def maglev_table(names: Sequence[str], weights: Sequence[int] | None = None) -> list[int]:
    """For each slot the position of its backend in `names`, all different. ValueError if there are none or too many.

    `weights` are at least 1 and as many as the names; without them all are alike.
    """
    if not 0 < len(names) <= lib.MAGLEV_BACKENDS or len(set(names)) != len(names):
        raise ValueError(f"expected 1 to {lib.MAGLEV_BACKENDS} different names, got {len(names)}")
    backends = ffi.new("struct maglev_backend[]", len(names))
    for backend, name, weight in zip(backends, names, weights or [1] * len(names), strict=True):
        backend.weight = weight
        backend.name = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
    slots = ffi.new("uint16_t[]", lib.MAGLEV_SLOTS)
    lib.maglev_build(slots, backends, len(names))
    return list(slots)


def maglev_report(backends: int) -> MaglevReport:
    """What happens with so many backends (at least two), and when the one in the middle leaves."""
    names = [f"backend-{number}" for number in range(backends)]
    gone = backends // 2
    before = maglev_table(names)
    left = names[:gone] + names[gone + 1 :]
    after = maglev_table(left)
    moved = sum(old != gone and names[old] != left[new] for old, new in zip(before, after, strict=True))
    fullest = max(Counter(before).values())
    return MaglevReport(backends, len(before), fullest * backends / len(before) - 1, moved / len(before))
