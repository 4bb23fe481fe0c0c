"""The next step from the old ReplicaSets to the new one: pure functions from numbers to numbers.

A rollout is a walk between two fences: never more than ``replicas + maxSurge`` pods, never fewer than
``replicas - maxUnavailable`` available ones. Each call takes one step; the controller calls again whenever pods have
become ready or have gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.controllers.deployment.limits import Limits


@dataclass(frozen=True, slots=True)
class Scale:
    """A ReplicaSet as far as a rollout is concerned."""

    name: str
    wanted: int  #: its spec.replicas
    available: int = 0  #: pods that serve, never counted above `wanted`: the others are about to go
    #: spec.replicas plus surge of the Deployment when this was last scaled, 0 if unknown
    most_then: int = 0


Sizes = dict[str, int]  #: new spec.replicas by ReplicaSet name; who is not named keeps what it has


def size_of_new(limits: Limits, new: int, everyone: int) -> int:
    """How many replicas the new ReplicaSet gets that has `new` now, of `everyone` in all ReplicaSets."""
    if new >= limits.wanted:
        return limits.wanted
    room = max(limits.wanted + limits.surge - everyone, 0)
    return min(new + room, limits.wanted)


def rolling_step(limits: Limits, new: Scale, old: Sequence[Scale]) -> Sizes:
    """One step of a rolling update. `old` are the other ReplicaSets, the oldest first. Empty: nothing to do now."""
    everyone = new.wanted + sum(scale.wanted for scale in old)
    size = size_of_new(limits, new.wanted, everyone)
    if size != new.wanted:
        return {new.name: size}
    return _shrink_old(limits, new, old, everyone)


def _shrink_old(limits: Limits, new: Scale, old: Sequence[Scale], everyone: int) -> Sizes:
    """Take away from the old ones: first what is not available anyway, then what can be spared."""
    sizes = {scale.name: scale.wanted for scale in old}
    spare = everyone - limits.least_available - (new.wanted - new.available)
    if spare <= 0:
        return {}
    for scale in old:
        broken = min(max(sizes[scale.name] - scale.available, 0), spare)
        sizes[scale.name] -= broken
        spare -= broken
    spare = new.available + sum(scale.available for scale in old) - limits.least_available
    for scale in old:
        fewer = min(sizes[scale.name], max(spare, 0))
        sizes[scale.name] -= fewer
        spare -= fewer
    return {scale.name: sizes[scale.name] for scale in old if sizes[scale.name] != scale.wanted}


def recreate_step(limits: Limits, new: Scale | None, old: Sequence[Scale], old_pods_left: bool) -> Sizes:
    """Recreate: all old pods go, and only when the last one is gone do the new ones come."""
    sizes = {scale.name: 0 for scale in old if scale.wanted}
    if sizes or old_pods_left or new is None or new.wanted == limits.wanted:
        return sizes
    return {new.name: limits.wanted}


def rescale(limits: Limits, new: Scale | None, old: Sequence[Scale], *, rolling: bool, done: bool) -> Sizes:
    """``spec.replicas`` has changed. In the middle of a rollout all ReplicaSets grow or shrink in proportion.

    `done` says that the new one already has and serves all that was wanted.
    """
    everyone = [*old, *([new] if new else [])]
    active = [scale for scale in everyone if scale.wanted]
    if len(active) <= 1:
        target = active[0] if active else (new or (old[-1] if old else None))
        return {target.name: limits.wanted} if target and target.wanted != limits.wanted else {}
    if done:
        return {scale.name: 0 for scale in old if scale.wanted}
    return _in_proportion(limits, active) if rolling else {}


def _in_proportion(limits: Limits, active: Sequence[Scale]) -> Sizes:
    """Spread what is to be added (or taken away), the largest first; what rounding leaves is the largest one's."""
    change = limits.most - sum(scale.wanted for scale in active)
    if change == 0:
        return {}
    newest_first = list(reversed(active)) if change > 0 else list(active)
    by_size = sorted(newest_first, key=lambda scale: -scale.wanted)
    sizes: Sizes = {}
    spread = 0
    for scale in by_size:
        fair = -scale.wanted
        if limits.wanted:
            fair = _rounded(scale.wanted * limits.most, scale.most_then or limits.most) - scale.wanted
        part = min(fair, change - spread) if change > 0 else max(fair, change - spread)
        sizes[scale.name] = max(scale.wanted + part, 0)
        spread += part
    largest = by_size[0].name
    sizes[largest] = max(sizes[largest] + change - spread, 0)
    return {scale.name: sizes[scale.name] for scale in active if sizes[scale.name] != scale.wanted}


def _rounded(dividend: int, divisor: int) -> int:
    """The quotient, halves rounded up."""
    return (2 * dividend + divisor) // (2 * divisor)
