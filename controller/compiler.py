"""The whole cluster's ForwardingTable, kept up to date at the cost of what changed.

One Service is compiled when it, its slices or the node's view changed, and never otherwise. The outcome is the
same as compiling everything anew: a test holds that for any order of changes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from controller.compile import CompiledService, NodeView, Shortage, compile_service
from controller.health_check import HealthCheck
from controller.objects import EndpointSlice, Service
from dataplane.persistent_map import PersistentMap
from dataplane.table import ForwardingTable, Frontend, FrontendKey, HealthCheckPort

_log = logging.getLogger(__name__)

ServiceKey: TypeAlias = tuple[str, str]  #: (namespace, name)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Several Services claim one frontend. The oldest has it; the others get nothing there until it goes."""

    key: FrontendKey
    winner: ServiceKey
    losers: tuple[ServiceKey, ...]


class _Claim(NamedTuple):
    """Sorts by age, and by name where two Services were made in the same second."""

    created: str
    service: ServiceKey


class _Entry(NamedTuple):
    claim: _Claim
    compiled: CompiledService


class Compiler:
    """Services and slices in, ForwardingTables out.

    `update` takes what changed; `table` is what follows from all that was given.
    """

    def __init__(self, view: NodeView) -> None:
        self._view = view
        self._service_cidrs: frozenset[str] = frozenset()
        self._entries: dict[ServiceKey, _Entry] = {}
        self._claims: dict[FrontendKey, tuple[_Claim, ...]] = {}
        self._contested: set[FrontendKey] = set()  # those with more than one claim
        self._health_checks: dict[ServiceKey, tuple[HealthCheck, ...]] = {}
        self._shortages: Counter[Shortage] = Counter()
        self._complaints: dict[ServiceKey, tuple[str, ...]] = {}
        self._frontends: PersistentMap[FrontendKey, Frontend] = PersistentMap()
        self._table = ForwardingTable(node_addresses=view.node_port_addresses, detect_local=view.detect_local)

    @property
    def table(self) -> ForwardingTable:
        return self._table

    @property
    def health_checks(self) -> Mapping[ServiceKey, tuple[HealthCheck, ...]]:
        """Of the Services that ask for any."""
        return self._health_checks

    @property
    def shortages(self) -> Mapping[Shortage, int]:
        """How many service ports lack endpoints on this node, by family and policy."""
        return self._shortages

    @property
    def complaints(self) -> Mapping[ServiceKey, tuple[str, ...]]:
        """What Services ask for and cannot have, in words; of those where that is so."""
        return self._complaints

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Every frontend that more than one Service claims."""
        contested = ((key, self._claims[key]) for key in sorted(self._contested))
        return tuple(Conflict(key, first.service, tuple(c.service for c in rest)) for key, (first, *rest) in contested)

    def update(
        self,
        changed: Mapping[ServiceKey, tuple[Service | None, Iterable[EndpointSlice]]],
        view: NodeView | None = None,
        service_cidrs: frozenset[str] | None = None,
    ) -> ForwardingTable:
        """Compile these Services anew (None: it is gone) and return the new table.

        A new `view` concerns every Service, so `changed` must then hold all of them.
        """
        self._view = view or self._view
        if service_cidrs is not None:
            self._service_cidrs = service_cidrs
        touched: set[FrontendKey] = set()
        addresses_moved = False
        for key, (service, slices) in changed.items():
            old = self._entries.pop(key, None)
            new = None
            if service is not None:
                new = self._compile(service, slices) or old
            if new is not None:
                self._entries[key] = new
            self._remember(key, old, new)
            touched |= self._move_claims(old, new)
            addresses_moved |= _cluster_ips(old) != _cluster_ips(new)
        self._frontends = self._replaced(touched)
        self._table = ForwardingTable(
            self._frontends,
            frozenset().union(*map(_cluster_ips, self._entries.values()))
            if addresses_moved
            else self._table.cluster_ips,
            self._service_cidrs,
            self._view.node_port_addresses,
            self._view.detect_local,
            frozenset(self._health_check_ports()),
        )
        return self._table

    def _compile(self, service: Service, slices: Iterable[EndpointSlice]) -> _Entry | None:
        """None if it cannot be compiled, which would be a mistake of ours: no reason to let the other Services down."""
        metadata = service.metadata
        try:
            compiled = compile_service(service, slices, self._view)
        except Exception:
            _log.exception("service %s can't be compiled, and stays as it was", "/".join(metadata.key))
            return None
        return _Entry(_Claim(metadata.creation_timestamp or "", metadata.key), compiled)

    def _health_check_ports(self) -> Iterable[HealthCheckPort]:
        for (namespace, name), checks in self._health_checks.items():
            for check in checks:
                yield HealthCheckPort(check.family, check.port, f"{namespace}/{name}")

    def _remember(self, key: ServiceKey, old: _Entry | None, new: _Entry | None) -> None:
        """What is not part of the table, but told about the Service."""
        self._health_checks.pop(key, None)
        self._complaints.pop(key, None)
        if old is not None:
            self._shortages.subtract(old.compiled.shortages)
        if new is not None:
            self._shortages.update(new.compiled.shortages)
            if new.compiled.health_checks:
                self._health_checks[key] = new.compiled.health_checks
            if new.compiled.complaints:
                self._complaints[key] = new.compiled.complaints

    def _move_claims(self, old: _Entry | None, new: _Entry | None) -> set[FrontendKey]:
        """One Service's claims, from what it was to what it is; returns the keys whose frontend may differ now."""
        touched: set[FrontendKey] = set()
        if old is not None:
            for key in old.compiled.frontends:
                self._set_claims(key, tuple(c for c in self._claims[key] if c != old.claim))
            touched.update(old.compiled.frontends)
        if new is not None:
            for key in new.compiled.frontends:
                others = self._claims.get(key, ())
                self._set_claims(key, tuple(sorted((*others, new.claim))) if others else (new.claim,))
            touched.update(new.compiled.frontends)
        return touched

    def _set_claims(self, key: FrontendKey, claims: tuple[_Claim, ...]) -> None:
        if claims:
            self._claims[key] = claims
        else:
            del self._claims[key]
        if len(claims) > 1:
            self._contested.add(key)
        else:
            self._contested.discard(key)

    def _replaced(self, keys: Iterable[FrontendKey]) -> PersistentMap[FrontendKey, Frontend]:
        """The frontends with these keys as they are now. What came out equal stays the same object."""
        changes: dict[FrontendKey, Frontend | None] = {}
        for key in keys:
            claims = self._claims.get(key)
            new = self._entries[claims[0].service].compiled.frontends[key] if claims else None
            if new != self._frontends.get(key):
                changes[key] = new
        return self._frontends.with_changes(changes)


def _cluster_ips(entry: _Entry | None) -> frozenset[str]:
    return entry.compiled.cluster_ips if entry is not None else frozenset()
