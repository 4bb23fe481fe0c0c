"""Gives every pod without a node one."""

from __future__ import annotations

from collections.abc import Iterable

from lab.api.errors import Object
from lab.api.registry import NODES, PODS
from lab.api.store import Store
from lab.controllers import pods as pod_state
from lab.controllers.collection import Change
from lab.controllers.events import NORMAL, WARNING, EventRecorder
from lab.controllers.objects import Clock, Key, condition, creation_order, is_going, key_of, text_of
from lab.controllers.scheduler.placement import place
from lab.controllers.view import View

NAME = "default-scheduler"


class Scheduler:
    """One key: one pod. A pod that fits nowhere stays Pending, says why, and is tried again when something changes."""

    name = "scheduler"

    def __init__(self, store: Store, view: View, clock: Clock) -> None:
        self._store = store
        self._view = view
        self._clock = clock
        self._events = EventRecorder(store, clock, NAME)

    def concerned(self, change: Change) -> Iterable[Key]:
        if change.resource is NODES:
            return self._waiting()
        if change.resource is not PODS:
            return ()
        if change.new is not None and _wants_node(change.new):
            return [key_of(change.new)]
        if change.new is None or pod_state.is_over(change.new):
            return self._waiting()  # a host port may be free now
        return ()

    def reconcile(self, key: Key) -> None:
        pod = self._view.pods.get(key)
        if pod is None or not _wants_node(pod):
            return
        nodes = sorted(self._view.nodes.all(), key=creation_order)
        placement = place(pod, nodes, lambda name: self._view.pods.where("node", name))
        if placement.node:
            spec = pod["spec"] | {"nodeName": placement.node}
            pod = self._store.update(PODS, pod | {"spec": spec})
            self._tell(pod, {"type": "PodScheduled", "status": "True"})
            message = f"Successfully assigned {key} to {placement.node}"
            self._events.record(PODS, pod, NORMAL, "Scheduled", message)
        else:
            reason = {"reason": "Unschedulable", "message": placement.message}
            if self._tell(pod, {"type": "PodScheduled", "status": "False"} | reason):
                self._events.record(PODS, pod, WARNING, "FailedScheduling", placement.message)

    def _waiting(self) -> list[Key]:
        pods = [pod for pod in self._view.pods.where("node", "") if _wants_node(pod)]
        return [key_of(pod) for pod in sorted(pods, key=creation_order)]

    def _tell(self, pod: Object, news: Object) -> bool:
        """Set the PodScheduled condition; its time is when it last turned. False if it says that already."""
        before = condition(pod, "PodScheduled")
        turned = before is None or before["status"] != news["status"]
        since = text_of(self._clock()) if before is None or turned else before.get("lastTransitionTime")
        new = news | {"lastTransitionTime": since}
        status = pod.get("status") or {}
        others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
        changed = pod | {"status": status | {"conditions": [*others, new]}}
        if new == before:
            return False
        self._store.update(PODS, changed, subresource="status")
        return True


def _wants_node(pod: Object) -> bool:
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not is_going(pod)
        and not spec.get("schedulingGates")
        and (spec.get("schedulerName") or NAME) == NAME
    )
