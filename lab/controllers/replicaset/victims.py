"""Which pods go first when there are too many.

The order is that of the real controller: those that serve least go first, and among equals the youngest, because
who has served for long has proved that it can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from lab.api.errors import Object
from lab.controllers import pods as pod_state
from lab.controllers.objects import annotations_of, time_of

ANNOTATION_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}
_NEVER = datetime.max.replace(tzinfo=UTC)


def victims(pods: Sequence[Object], count: int, related: Iterable[Object] = ()) -> list[Object]:
    """The `count` of `pods` to delete. `related` are all active pods of the same Deployment, these included."""
    crowd = Counter(pod["spec"].get("nodeName") or "" for pod in related)
    return sorted(pods, key=lambda pod: _order(pod, crowd))[:count]


def _order(pod: Object, crowd: Mapping[str, int]) -> tuple[object, ...]:
    """Smaller goes first."""
    node = pod["spec"].get("nodeName") or ""
    return (
        bool(node),
        _PHASES.get(pod_state.phase(pod), 1),
        pod_state.is_ready(pod),
        _deletion_cost(pod),
        -crowd[node],
        -_seconds(pod_state.ready_since(pod)),
        -_restarts(pod),
        -_seconds(time_of(pod["metadata"].get("creationTimestamp"))),
        pod["metadata"]["name"],
    )


def _seconds(time: datetime | None) -> float:
    """Seconds since 1970; what has no time is younger than everything."""
    return (time or _NEVER).timestamp()


def _deletion_cost(pod: Object) -> int:
    text = annotations_of(pod).get(ANNOTATION_DELETION_COST, "0")
    return int(text) if text.removeprefix("-").isdecimal() else 0


def _restarts(pod: Object) -> int:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return max((int(status.get("restartCount") or 0) for status in statuses), default=0)
