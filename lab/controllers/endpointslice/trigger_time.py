"""When the change happened that a slice is written for: ``endpoints.kubernetes.io/last-change-trigger-time``.

A dataplane takes the time from there to its own last write as the network programming latency. The change is the
earliest one that has not been told yet: a pod's Ready condition that turned, or the Service that was created.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lab.api.errors import Object
from lab.controllers.objects import condition, time_of


@dataclass(slots=True)
class TriggerTimes:
    """What has been told about one Service."""

    service: datetime | None = None
    pods: dict[str, datetime] = field(default_factory=dict)

    def next(self, service: Object, pods: Iterable[Object]) -> str | None:
        """The time of the earliest change since the last call (RFC 3339); None if nothing says when it changed."""
        news: list[datetime] = []
        seen: dict[str, datetime] = {}
        for pod in pods:
            ready = condition(pod, "Ready")
            time = time_of(ready.get("lastTransitionTime")) if ready else None
            if time:
                name = pod["metadata"]["name"]
                seen[name] = time
                if name not in self.pods or time > self.pods[name]:
                    news.append(time)
        self.pods = seen
        created = time_of(service["metadata"].get("creationTimestamp"))
        if created and (self.service is None or created > self.service):
            self.service = created
            news.append(created)
        return _precise(min(news)) if news else None


def _precise(time: datetime) -> str:
    """RFC 3339 in UTC, with a fraction if there is one, as this annotation has it (not as ``metav1.Time`` does)."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
