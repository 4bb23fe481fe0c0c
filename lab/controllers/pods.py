"""What controllers ask about a pod."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta

from lab.api.errors import Object
from lab.controllers.objects import condition, is_going, time_of


def is_ready(pod: Object) -> bool:
    """Its Ready condition is True: the readiness probe succeeds."""
    ready = condition(pod, "Ready")
    return ready is not None and ready.get("status") == "True"


def phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase") or "Pending")


def is_over(pod: Object) -> bool:
    """Its containers have ended and will not be started again."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """It counts as a replica: neither over nor being deleted."""
    return not is_over(pod) and not is_going(pod)


def ready_since(pod: Object) -> datetime | None:
    """When it became ready; None if it is not, or does not say."""
    ready = condition(pod, "Ready")
    return time_of(ready.get("lastTransitionTime")) if ready and ready.get("status") == "True" else None


def is_available(pod: Object, min_ready_seconds: int, now: datetime) -> bool:
    """Ready for at least ``minReadySeconds``."""
    if not is_ready(pod):
        return False
    since = ready_since(pod)
    return min_ready_seconds == 0 or (since is not None and since + timedelta(seconds=min_ready_seconds) <= now)


def addresses(pod: Object) -> list[str]:
    """``status.podIPs``, or ``status.podIP`` if that is all there is. What is no address does not count."""
    status = pod.get("status", {})
    listed = [entry.get("ip") for entry in status.get("podIPs") or ()] or [status.get("podIP")]
    return [address for address in listed if address and _is_address(address)]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
