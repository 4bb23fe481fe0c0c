"""What a Deployment says about itself: counts, whether it serves, whether its rollout gets on.

`kubectl rollout status` reads nothing else: the generation that was looked at, the counts, and the
Progressing condition whose reason ``ProgressDeadlineExceeded`` means that it has given up hope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lab.api.errors import Object
from lab.controllers.deployment.limits import Limits
from lab.controllers.objects import condition, text_of, time_of
from lab.controllers.replicaset.replicas import wanted_replicas

DONE = "NewReplicaSetAvailable"
CREATED = "NewReplicaSetCreated"
FOUND = "FoundNewReplicaSet"
MOVING = "ReplicaSetUpdated"
STUCK = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"

DEFAULT_DEADLINE = 600  #: seconds, ``spec.progressDeadlineSeconds``


@dataclass(frozen=True, slots=True)
class Family:
    """A Deployment's ReplicaSets: the one of its present template, if it exists, and the others, the oldest first."""

    new: Object | None
    old: tuple[Object, ...]

    @property
    def all(self) -> tuple[Object, ...]:
        return (*self.old, self.new) if self.new else self.old


def status_of(deployment: Object, family: Family, now: datetime, *, created: bool = False) -> Object:
    """The whole ``status``. `created` says that the new ReplicaSet was made just now."""
    before = deployment.get("status") or {}
    counts = {
        "replicas": _sum(family.all, "replicas"),
        "updatedReplicas": _sum([family.new] if family.new else [], "replicas"),
        "readyReplicas": _sum(family.all, "readyReplicas"),
        "availableReplicas": _sum(family.all, "availableReplicas"),
    }
    expected = sum(wanted_replicas(replica_set) for replica_set in family.all)
    counts["unavailableReplicas"] = max(expected - counts["availableReplicas"], 0)
    status: Object = {field: count for field, count in counts.items() if count}
    status["observedGeneration"] = deployment["metadata"].get("generation", 0)
    if before.get("collisionCount"):
        status["collisionCount"] = before["collisionCount"]

    progressing = _progressing(deployment, family, counts, now, created)
    conditions = [_available(deployment, counts, now), progressing, _failing(family)]
    status["conditions"] = [c for c in conditions if c]
    return status


def is_complete(deployment: Object, counts: Object) -> bool:
    """Every pod is of the present template and available, and no other is left."""
    wanted = wanted_replicas(deployment)
    fields = ("replicas", "updatedReplicas", "availableReplicas")
    return all(counts.get(field, 0) == wanted for field in fields)


def seconds_until_deadline(deployment: Object, now: datetime) -> float | None:
    """When the rollout will count as stuck if nothing happens; None if it cannot any more."""
    progressing = condition(deployment, "Progressing")
    if progressing is None or progressing["reason"] in (DONE, STUCK, PAUSED) or deployment["spec"].get("paused"):
        return None
    return max((_deadline(deployment, progressing) - now).total_seconds(), 0.0) + 0.001


def _deadline(deployment: Object, progressing: Object) -> datetime:
    last = time_of(progressing["lastUpdateTime"])
    assert last is not None
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return last + timedelta(seconds=DEFAULT_DEADLINE if seconds is None else int(seconds))


def _progressing(deployment: Object, family: Family, counts: Object, now: datetime, created: bool) -> Object | None:
    before = condition(deployment, "Progressing")
    reason = before["reason"] if before else None
    who = f'ReplicaSet "{family.new["metadata"]["name"]}"' if family.new else f'"{deployment["metadata"]["name"]}"'
    if deployment["spec"].get("paused"):
        return _condition(before, "Progressing", "Unknown", PAUSED, "Deployment is paused", now)
    if reason == PAUSED:
        return _condition(before, "Progressing", "Unknown", RESUMED, "Deployment is resumed", now)
    if created and family.new:
        name = family.new["metadata"]["name"]
        message = f'Created new replica set "{name}"'
        return _condition(before, "Progressing", "True", CREATED, message, now, afresh=True)
    if is_complete(deployment, counts):
        return _condition(before, "Progressing", "True", DONE, f"{who} has successfully progressed.", now)
    if reason == DONE and counts["updatedReplicas"] == counts["replicas"]:
        return before  # scaling, or pods that come and go: not a rollout
    if reason in (None, DONE) and family.new:
        message = f'Found new replica set "{family.new["metadata"]["name"]}"'
        return _condition(before, "Progressing", "True", FOUND, message, now)
    if _has_moved(deployment.get("status") or {}, counts):
        message = f"{who} is progressing."
        return _condition(before, "Progressing", "True", MOVING, message, now, afresh=True)
    if before and reason != STUCK and _deadline(deployment, before) < now:
        return _condition(before, "Progressing", "False", STUCK, f"{who} has timed out progressing.", now)
    return before


def _has_moved(before: Object, counts: Object) -> bool:
    """More new pods, fewer old ones, or more that serve."""
    old_before = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    return bool(
        counts["updatedReplicas"] > before.get("updatedReplicas", 0)
        or counts["replicas"] - counts["updatedReplicas"] < old_before
        or counts["readyReplicas"] > before.get("readyReplicas", 0)
        or counts["availableReplicas"] > before.get("availableReplicas", 0)
    )


def _available(deployment: Object, counts: Object, now: datetime) -> Object:
    before = condition(deployment, "Available")
    if counts["availableReplicas"] >= Limits.of(deployment).least_available:
        message = "Deployment has minimum availability."
        return _condition(before, "Available", "True", "MinimumReplicasAvailable", message, now)
    message = "Deployment does not have minimum availability."
    return _condition(before, "Available", "False", "MinimumReplicasUnavailable", message, now)


def _failing(family: Family) -> Object | None:
    """The ReplicaFailure condition of a ReplicaSet, of the new one first."""
    found = (condition(replica_set, "ReplicaFailure") for replica_set in reversed(family.all))
    problem = next((c for c in found if c), None)
    return problem and problem | {"lastUpdateTime": problem["lastTransitionTime"]}


def _condition(
    before: Object | None,
    kind: str,
    status: str,
    reason: str,
    message: str,
    now: datetime,
    *,
    afresh: bool = False,
) -> Object:
    """The condition as it was, if it says the same; `afresh`: with a new update time even so."""
    same = before is not None and (before["status"], before["reason"]) == (status, reason)
    if before is not None and same and not afresh:
        return before
    turned = before is None or before["status"] != status
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": text_of(now),
        "lastTransitionTime": text_of(now) if before is None or turned else before["lastTransitionTime"],
        "reason": reason,
        "message": message,
    }


def _sum(replica_sets: Sequence[Object], field: str) -> int:
    return sum(int((replica_set.get("status") or {}).get(field) or 0) for replica_set in replica_sets)
