"""Small values as people read them in a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from lab.api.errors import Object
from lab.api.scale import selector_text

NONE = "<none>"
UNKNOWN = "<unknown>"


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago that was: ``12s``, ``5m``, ``3h``, ``2d``."""
    if not timestamp:
        return UNKNOWN
    return duration((now - instant(timestamp)).total_seconds())


def instant(timestamp: str) -> datetime:
    """An RFC 3339 timestamp."""
    found = datetime.fromisoformat(timestamp)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def duration(seconds: float) -> str:
    """A duration in at most two units, as the real server rounds it."""
    s = int(seconds)
    if s < -1:
        return "<invalid>"
    if s < 0:
        return "0s"
    minutes, hours, days = s // 60, s // 3600, s // 86400
    if s < 120:
        return f"{s}s"
    if minutes < 10:
        return _two(minutes, "m", s % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    years = days // 365
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(whole: int, unit: str, part: int, part_unit: str) -> str:
    return f"{whole}{unit}{part}{part_unit}" if part else f"{whole}{unit}"


def labels(given: Mapping[str, str] | None) -> str:
    """``app=web,tier=front``."""
    return ",".join(f"{k}={v}" for k, v in sorted((given or {}).items())) or NONE


def label_selector(selector: Object | None) -> str:
    """A ``LabelSelector`` in one line."""

    return selector_text(selector or {}) or NONE


def few(items: list[str], most: int = 3) -> str:
    """The first ones, and how many more: ``a,b,c + 4 more...``."""
    if not items:
        return NONE
    text = ",".join(items[:most])
    return f"{text} + {len(items) - most} more..." if len(items) > most else text
