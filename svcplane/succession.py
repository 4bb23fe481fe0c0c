"""A change of modes, or of proxies, on a live node: the new rules come first, and then the old ones go.

Connections that are open stay, because the kernel remembers their translation whoever asked for it; and between the
kernel and the engine of mode userspace what is remembered is handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dataplane.interface import Applied, Dataplane, DataplaneError, Drift
from dataplane.table import ForwardingTable, FrontendKey, Pick


class Succession:
    """A dataplane that after its first successful apply removes what went before it.

    If that fails it is left for the next apply: the rules which count are in force.
    """

    def __init__(self, dataplane: Dataplane, remove_predecessors: Callable[[ForwardingTable], None]) -> None:
        self._dataplane = dataplane
        self._remove_predecessors = remove_predecessors
        self._alone = False

    @property
    def picks(self) -> frozenset[Pick]:
        return self._dataplane.picks

    def apply(self, table: ForwardingTable) -> Applied:
        applied = self._dataplane.apply(table)
        if not self._alone:
            try:
                self._remove_predecessors(table)
                self._alone = True
            except DataplaneError as error:
                left = f"what ran here before can't be removed yet: {error}"
                return replace(applied, unfinished="; ".join(filter(None, (applied.unfinished, left))))
        return applied

    def audit(self) -> Drift:
        return self._dataplane.audit()

    def tampered(self) -> bool:
        return self._dataplane.tampered()

    def cleanup(self) -> None:
        self._dataplane.cleanup()

    def where(self, key: FrontendKey) -> str:
        return self._dataplane.where(key)
