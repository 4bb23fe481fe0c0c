"""Traffic by Service and by backend, summed up for whoever asks, with a limit to how much is told apart.

Who has a series of its own keeps it: counters must not jump between series. What begins when there are as many as may
be is summed up as ``other``, and so is what a node forwards for Services that nobody knows any more by the time that
somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

from dataplane.table import Endpoint, ForwardingTable, Frontend, Protocol
from dataplane.traffic import Taken, Traffic

_Key = TypeVar("_Key")


class ServicePort(NamedTuple):
    """What traffic is summed up by: one port of one Service, whichever address a client used."""

    name: str  #: ``namespace/name`` or ``namespace/name:port``
    protocol: Protocol


class ServedBy(NamedTuple):
    """One backend of a service port."""

    port: ServicePort
    backend: Endpoint


class Sums(Generic[_Key]):
    """Sums by key; `other` has what is not told apart. At most `limit` keys."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.by_key: dict[_Key, Traffic] = {}
        self.other = Traffic()

    def add(self, key: _Key, traffic: Traffic) -> None:
        known = self.by_key.get(key)
        if known is None and len(self.by_key) >= self._limit:
            self.other = self.other.plus(traffic)
        else:
            self.by_key[key] = (known or Traffic()).plus(traffic)

    def drop(self, keys: Iterable[_Key]) -> None:
        """Make room: these are gone, and so are their series."""
        for key in keys:
            del self.by_key[key]


class TrafficTotals:
    """Since the agent began: sums by service port, and by backend. Up to `limit` of either are told apart."""

    def __init__(self, limit: int) -> None:
        self.services: Sums[ServicePort] = Sums(limit)
        self.backends: Sums[ServedBy] = Sums(limit)
        self._table = ForwardingTable()
        self._frontends: dict[ServicePort, list[Frontend]] = {}

    def add(self, taken: Taken, table: ForwardingTable) -> None:
        """What came since the last time. Services and backends that `table` has no more lose their series."""
        if table is not self._table:
            self._table, self._frontends = table, _by_port(table)
        active: set[ServedBy] = set()
        for path, traffic in taken.by_path.items():
            frontend = table.frontends.get(path.frontend)
            if frontend is None:
                self.services.other = self.services.other.plus(traffic)
                self.backends.other = self.backends.other.plus(traffic)
                continue
            port = _port_of(frontend)
            served = ServedBy(port, path.backend)
            active.add(served)
            self.services.add(port, traffic)
            self.backends.add(served, traffic)
        self.services.other = self.services.other.plus(taken.unplaced)
        self.backends.other = self.backends.other.plus(taken.unplaced)
        self.services.drop([port for port in self.services.by_key if port not in self._frontends])
        # A backend that is about to go may carry connections for long after it left the pools.
        self.backends.drop([s for s in self.backends.by_key if s not in active and not self._is_served(s)])

    def _is_served(self, served: ServedBy) -> bool:
        pools = (pool for frontend in self._frontends.get(served.port, ()) for pool in frontend.pools)
        return any(backend.endpoint == served.backend for pool in pools for backend in pool.backends)


def _port_of(frontend: Frontend) -> ServicePort:
    return ServicePort(frontend.service, frontend.key.protocol)


def _by_port(table: ForwardingTable) -> dict[ServicePort, list[Frontend]]:
    found: dict[ServicePort, list[Frontend]] = {}
    for frontend in table.frontends.values():
        found.setdefault(_port_of(frontend), []).append(frontend)
    return found


def service_labels(port: ServicePort) -> Mapping[str, str]:
    """``namespace``, ``service``, ``port`` (empty if it has no name) and ``protocol``."""
    namespace, _, rest = port.name.partition("/")
    service, _, name = rest.partition(":")
    return {"namespace": namespace, "service": service, "port": name, "protocol": port.protocol}
