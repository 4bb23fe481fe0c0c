"""How the engine picks a backend for a new connection, and what Maglev's way is worth in figures."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from native.library import ffi, lib


class Pick(enum.IntEnum):
    """native/service.h, enum service_pick. Affinity comes before any of them."""

    RANDOM = lib.SERVICE_RANDOM  #: each equally likely, as kube-proxy does
    ROUND_ROBIN = lib.SERVICE_ROUND_ROBIN  #: one after the other
    LEAST_CONNECTIONS = lib.SERVICE_LEAST_CONNECTIONS  #: one with the fewest connections through this node
    MAGLEV = lib.SERVICE_MAGLEV  #: by addresses and ports: the same on every node that has the same seed


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


def maglev_table(names: Sequence[str]) -> list[int]:
    """For each slot the position of its backend in `names`, all different. ValueError if there are none or too many."""
    if not 0 < len(names) <= lib.MAGLEV_BACKENDS or len(set(names)) != len(names):
        raise ValueError(f"expected 1 to {lib.MAGLEV_BACKENDS} different names, got {len(names)}")
    backends = ffi.new("struct maglev_backend[]", len(names))
    for backend, name in zip(backends, names, strict=True):
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
