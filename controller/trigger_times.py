"""When the changes happened that wait to be programmed: how long a change takes from its cause to our rules.

The EndpointSlice controller writes into ``endpoints.kubernetes.io/last-change-trigger-time`` when the pod or Service
changed that made it write the slice.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable

from controller.objects import ANNOTATION_TRIGGER_TIME, EndpointSlice

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")


# Times remembered for each Service, while nobody takes them: the node may not be ready to program for hours.
_MOST = 100


class TriggerTimes:
    """Remembers the times of slices that came in since `since` (seconds since 1970), until they are taken.

    What was triggered earlier was another agent's to program: its latency would be our absence.
    """

    def __init__(self, since: float) -> None:
        self._since = since
        self._times: dict[tuple[str, str], list[float]] = {}

    def note(self, service: tuple[str, str], piece: EndpointSlice) -> None:
        """This slice of that Service is new, or has changed."""
        time = trigger_time(piece)
        if time is not None and time > self._since:
            times = self._times.setdefault(service, [])
            if len(times) < _MOST:
                times.append(time)

    def forget(self, service: tuple[str, str]) -> None:
        """A slice of that Service is gone: nobody knows any more what its latest state was triggered by."""
        self._times.pop(service, None)

    def take(self) -> Iterable[float]:
        """All times, in seconds since 1970. They are forgotten."""
        times, self._times = self._times, {}
        return [time for of_service in times.values() for time in of_service]


def trigger_time(piece: EndpointSlice) -> float | None:
    """Seconds since 1970, from RFC 3339 with up to nanoseconds; None if the slice has no such time."""
    text = (piece.metadata.annotations or {}).get(ANNOTATION_TRIGGER_TIME, "")
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        whole = datetime.datetime.fromisoformat(match[1] + match[3]).timestamp()
    except ValueError:
        return None
    return whole + float(match[2] or 0)
