"""A change of modes on a live node: the new rules come first, and then the old ones go.

Connections that are open stay, because the kernel remembers their translation whoever asked for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from dataplane.interface import Applied, Dataplane, DataplaneError, Drift
from dataplane.table import ForwardingTable, FrontendKey, Pick

_log = logging.getLogger(__name__)


class Succession:
    """A dataplane that after its first successful apply, once, removes what went before it.

    That is best tried and not insisted on: the rules which count are in force.
    """

    def __init__(self, dataplane: Dataplane, remove_predecessors: Callable[[], None]) -> None:
        self._dataplane = dataplane
        self._remove_predecessors = remove_predecessors
        self._alone = False

    @property
    def picks(self) -> frozenset[Pick]:
        return self._dataplane.picks

    def apply(self, table: ForwardingTable) -> Applied:
        applied = self._dataplane.apply(table)
        if not self._alone:
            self._alone = True
            try:
                self._remove_predecessors()
            except DataplaneError as error:
                _log.warning("what another mode may have left here can't be removed: %s", error)
        return applied

    def audit(self) -> Drift:
        return self._dataplane.audit()

    def tampered(self) -> bool:
        return self._dataplane.tampered()

    def cleanup(self) -> None:
        self._dataplane.cleanup()

    def where(self, key: FrontendKey) -> str:
        return self._dataplane.where(key)
