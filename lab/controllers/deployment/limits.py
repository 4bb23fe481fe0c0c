"""How far a rolling update may go: ``maxSurge`` and ``maxUnavailable`` as numbers of pods."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from lab.api.errors import Object
from lab.controllers.replicaset.replicas import wanted_replicas


@dataclass(frozen=True, slots=True)
class Limits:
    """`wanted` pods, at most `surge` more than that at any time, at most `unavailable` of them not serving."""

    wanted: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        """The most pods there may be."""
        return self.wanted + self.surge if self.wanted else 0

    @property
    def least_available(self) -> int:
        """The fewest that must be available."""
        return self.wanted - self.unavailable

    @staticmethod
    def of(deployment: Object) -> Limits:
        """Percentages are of ``spec.replicas``, the surge rounded up, the rest rounded down; never both zero."""
        wanted = wanted_replicas(deployment)
        if not rolls(deployment):
            return Limits(wanted, 0, 0)
        rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
        surge = _number(rolling.get("maxSurge", "25%"), wanted, math.ceil)
        unavailable = _number(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
        if surge == 0 and unavailable == 0:
            unavailable = 1
        return Limits(wanted, surge, min(unavailable, wanted))


def rolls(deployment: Object) -> bool:
    """RollingUpdate, not Recreate."""
    kind: str = (deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate")
    return kind == "RollingUpdate"


def _number(value: int | str, whole: int, rounded: Callable[[Fraction], int]) -> int:
    """An IntOrString: a number, or a percentage of `whole`."""
    if isinstance(value, int):
        return value
    return rounded(Fraction(value.removesuffix("%")) * whole / 100)
