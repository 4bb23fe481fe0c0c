"""What keeps a cluster in the state that its objects ask for: the lab's kube-controller-manager and kube-scheduler.

    Deployment ──► ReplicaSets ──► Pods ──► (scheduler) a node ──► (kubelet) addresses, readiness
                                                                           │
    Service ────────────────────────► EndpointSlices, Endpoints ◄──────────┘

Each controller is a folder: pure functions from objects to objects, and one `controller.py` that reads and writes.
What they share is here: `collection` and `view` (reading), `work_queue` and `runner` (when to do what),
`objects`, `pods` and `ownership` (what to look at in an object).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from lab.api.store import Store
from lab.controllers.deployment.controller import DeploymentController
from lab.controllers.endpoints.controller import EndpointsController
from lab.controllers.endpointslice.controller import EndpointSliceController
from lab.controllers.mirroring.controller import MirroringController
from lab.controllers.objects import Clock
from lab.controllers.replicaset.controller import ReplicaSetController
from lab.controllers.runner import Controller, Runner
from lab.controllers.scheduler.controller import Scheduler
from lab.controllers.view import View

__all__ = ["all_controllers", "run_controllers"]


def _now() -> datetime:
    return datetime.now(UTC)


def all_controllers(store: Store, view: View, clock: Clock = _now) -> Sequence[Controller]:
    return (
        Scheduler(store, view, clock),
        ReplicaSetController(store, view, clock),
        DeploymentController(store, view, clock),
        EndpointSliceController(store, view, clock),
        EndpointsController(store, view),
        MirroringController(store, view),
    )


async def run_controllers(store: Store) -> None:
    """Run all controllers on this store, in its event loop, until cancelled."""
    await Runner(store, all_controllers).run()
