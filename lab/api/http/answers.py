"""What goes back to a client."""

from __future__ import annotations

from dataclasses import dataclass

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole response. `warnings` are shown by `kubectl` to its user."""

    body: bytes
    code: int = 200
    media_type: str = JSON
    warnings: tuple[str, ...] = ()
