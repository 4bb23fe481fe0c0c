"""Whether the proxy keeps up: what it has done, and since when it has been waiting to do more.

Healthy: nothing is waiting to be programmed, or not for long. `controller.health_server` tells it to others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from controller.objects import Node

_LEAVING = "ToBeDeletedByClusterAutoscaler"


@dataclass(slots=True)
class Health:
    """What the sync loop reports. `limit`: how many seconds a request may wait before it is a fault.

    Both families are programmed together, so one state stands for both. What is told to people are times of day;
    how long something waits is measured by a clock that nobody can set.
    """

    limit: float = 60.0
    clock: Callable[[], float] = time.time
    stopwatch: Callable[[], float] = time.monotonic
    updated: float | None = None  #: when a sync last worked
    requested_last: float | None = None  #: when a sync was last asked for
    pending_since: float | None = None  #: since when something has been waiting, by the stopwatch
    node: Node | None = None

    def requested(self) -> None:
        self.requested_last = self.clock()
        if self.pending_since is None:
            self.pending_since = self.stopwatch()

    def succeeded(self) -> None:
        self.updated, self.pending_since = self.clock(), None

    @property
    def healthy(self) -> bool:
        return self.pending_since is None or self.stopwatch() - self.pending_since < self.limit

    @property
    def node_eligible(self) -> bool:
        """Whether load balancers should go on sending here. A node that is about to go is not; a cordoned one is."""
        node = self.node
        if node is None or node.metadata.deletion_timestamp is not None:
            return False
        return not any(taint.key == _LEAVING for taint in node.spec.taints or ())
