"""Durations as Kubernetes writes them (Go's notation): ``300ms``, ``1.5s``, ``2h45m``."""

from __future__ import annotations

import re

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")


class Duration:
    """So many seconds; comparable, and as text in Go's notation."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    @staticmethod
    def parse(text: str) -> Duration:
        """ValueError if it is none."""
        if text == "0":
            return Duration(0.0)
        sign = -1.0 if text.startswith("-") else 1.0
        digits = text[1:] if text[:1] in ("+", "-") else text
        parts = _PART.findall(digits)
        if not parts or "".join(number + unit for number, unit in parts) != digits:
            raise ValueError(f"{text!r} is no duration (expected like 500ms, 30s or 1m30s)")
        return Duration(sign * sum(float(number) * _UNITS[unit] for number, unit in parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.seconds == other.seconds

    def __hash__(self) -> int:
        return hash(self.seconds)

    def __repr__(self) -> str:
        return f"Duration({self.seconds})"

    def __str__(self) -> str:
        if self.seconds < 0:
            return f"-{Duration(-self.seconds)}"
        if self.seconds == 0:
            return "0s"
        if self.seconds < 1:
            return f"{1000 * self.seconds:g}ms"
        minutes, seconds = divmod(self.seconds, 60)
        hours, minutes = divmod(int(minutes), 60)
        if hours:
            return f"{hours}h{minutes}m{seconds:g}s"
        return f"{minutes}m{seconds:g}s" if minutes else f"{seconds:g}s"
