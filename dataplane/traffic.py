"""What flowed: connections, packets and bytes, by frontend and backend. One interface for all who can count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from dataplane.table import Endpoint, ForwardingTable, FrontendKey


class Traffic(NamedTuple):
    """Sums. `in` is from the client to the backend, `out` the way back; bytes count IP headers too."""

    connections: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0

    def plus(self, other: Traffic) -> Traffic:
        return Traffic(*map(int.__add__, self, other))


class Path(NamedTuple):
    """Which frontend a client came in by, and who serves it."""

    frontend: FrontendKey
    backend: Endpoint


class Taken(NamedTuple):
    """What came since the last time."""

    by_path: Mapping[Path, Traffic]
    unplaced: Traffic = Traffic()  #: more ways at once than there is room for: only their sum is known


class TrafficSource(Protocol):
    """Counts what a dataplane forwards. Used by one thread at a time, which may be another than the dataplane's."""

    def take(self, table: ForwardingTable) -> Taken:
        """What flowed since the last call. `table` tells frontends from destinations that are somebody else's.

        Raises OSError; what was not handed over then comes with the next call.
        """

    @property
    def lost(self) -> int:
        """How often ends of connections were missed: what they carried last is not counted."""

    def close(self) -> None:
        """Count no more, and give everything back."""
