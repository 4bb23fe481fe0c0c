"""What differs between two ForwardingTables, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from dataplane.persistent_map import differing
from dataplane.table import DetectLocal, ForwardingTable, Frontend, FrontendKey, HealthCheckPort

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Changes:
    """`apply`, given the old table, makes the new one.

    `frontends` maps every key whose frontend differs to (old, new); None stands for "not there".
    The sets are (gone, come). `detect_local` is the new rule, or None if it stays.
    """

    frontends: Mapping[FrontendKey, tuple[Frontend | None, Frontend | None]] = field(default_factory=dict)
    cluster_ips: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    service_cidrs: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    node_addresses: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    detect_local: DetectLocal | None = None
    health_check_ports: tuple[frozenset[HealthCheckPort], frozenset[HealthCheckPort]] = (frozenset(), frozenset())

    @staticmethod
    def between(old: ForwardingTable, new: ForwardingTable) -> Changes:
        """Cheap where the frontends of one were made from those of the other (`PersistentMap.with_changes`)."""
        frontends: dict[FrontendKey, tuple[Frontend | None, Frontend | None]] = {}
        for key in differing(old.frontends, new.frontends):
            before, after = old.frontends.get(key), new.frontends.get(key)
            if before != after:
                frontends[key] = (before, after)
        return Changes(
            frontends,
            _moved(old.cluster_ips, new.cluster_ips),
            _moved(old.service_cidrs, new.service_cidrs),
            _moved(old.node_addresses, new.node_addresses),
            new.detect_local if old.detect_local != new.detect_local else None,
            _moved(old.health_check_ports, new.health_check_ports),
        )

    def apply(self, old: ForwardingTable) -> ForwardingTable:
        frontends = dict(old.frontends)
        for key, (_, frontend) in self.frontends.items():
            if frontend is None:
                frontends.pop(key, None)
            else:
                frontends[key] = frontend
        return ForwardingTable(
            frontends,
            old.cluster_ips - self.cluster_ips[0] | self.cluster_ips[1],
            old.service_cidrs - self.service_cidrs[0] | self.service_cidrs[1],
            old.node_addresses - self.node_addresses[0] | self.node_addresses[1],
            old.detect_local if self.detect_local is None else self.detect_local,
            old.health_check_ports - self.health_check_ports[0] | self.health_check_ports[1],
        )

    def __bool__(self) -> bool:
        return self != Changes()


def _moved(old: frozenset[_T], new: frozenset[_T]) -> tuple[frozenset[_T], frozenset[_T]]:
    return (frozenset(), frozenset()) if old is new else (old - new, new - old)
