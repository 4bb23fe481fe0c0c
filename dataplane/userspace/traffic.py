"""Traffic of the userspace mode: what the engine counts of each service port and backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dataplane.table import Endpoint, Family, ForwardingTable, FrontendKey
from dataplane.traffic import Path, Taken, Traffic
from dataplane.userspace.flows import Tally

Tallies = Mapping[tuple[str, Endpoint], Tally]


class EngineTraffic:
    """Counts from when it is made. `tallies` gives the engine's sums at the moment, from any thread.

    The engine counts for service ports, not for their addresses: everything is said of one frontend of the service
    port, in the backend's family.
    """

    lost = 0  #: the engine sees every packet that it forwards

    def __init__(self, tallies: Callable[[], Tallies]) -> None:
        self._tallies = tallies
        self._before = tallies()

    def take(self, table: ForwardingTable) -> Taken:
        frontends: dict[tuple[str, Family], FrontendKey] = {}
        for key, frontend in table.frontends.items():
            frontends.setdefault((frontend.service, key.family), key)
        now, by_path, unplaced = self._tallies(), dict[Path, Traffic](), Traffic()
        for (service, backend), tally in now.items():
            grown = _grown(self._before.get((service, backend)), tally)
            if not any(grown):
                continue
            frontend_key = frontends.get((service, Family.of(backend.address)))
            if frontend_key is None:
                unplaced = unplaced.plus(grown)
            else:
                by_path[Path(frontend_key, backend)] = grown
        self._before = now
        return Taken(by_path, unplaced)

    def close(self) -> None:
        """Nothing is held."""


def _grown(before: Tally | None, now: Tally) -> Traffic:
    """What came in between. A place that was given to another backend meanwhile, and back, began at nothing."""
    new = _traffic(now)
    if before is None:
        return new
    old = _traffic(before)
    return new if any(n < o for n, o in zip(new, old, strict=True)) else Traffic(*map(int.__sub__, new, old))


def _traffic(tally: Tally) -> Traffic:
    return Traffic(tally.connections, tally.packets_to, tally.bytes_to, tally.packets_from, tally.bytes_from)
