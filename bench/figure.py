"""A figure that is one value: what is measured once, in a process of its own, and not in turns."""

from __future__ import annotations

from dataclasses import dataclass

from bench.workload import ENDPOINTS


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure, of which less is better. `bar` is the most it should be; nothing fails if it is more.

    `endpoints` are those of each Service. Without a `value` there is the reason, as in "TOO SLOW: ...".
    """

    subject: str  #: who was measured, as contenders are called
    services: int
    what: str
    value: float | None
    unit: str
    bar: float | None = None
    endpoints: int = ENDPOINTS
    trouble: str = ""
