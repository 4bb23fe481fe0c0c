"""Keeps the EndpointSlices of every Service that has a selector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.objects import LABEL_SERVICE_NAME, LABEL_ZONE
from lab.api.errors import Object
from lab.api.registry import ENDPOINT_SLICES, NODES, PODS, SERVICES
from lab.api.store import Store
from lab.controllers.collection import Change
from lab.controllers.endpointslice.desired import selects, why_no_hints
from lab.controllers.endpointslice.plan import (
    LABEL_MANAGED_BY,
    MANAGED_BY,
    MAX_ENDPOINTS_PER_SLICE,
    Plan,
    slices_for,
)
from lab.controllers.endpointslice.trigger_time import TriggerTimes
from lab.controllers.events import WARNING, EventRecorder
from lab.controllers.objects import Clock, Key, condition, key_of, labels_of
from lab.controllers.view import View


class EndpointSliceController:
    """One key: one Service. Slices of a deleted Service go with it, as its dependents."""

    name = "endpointslice"

    def __init__(self, store: Store, view: View, clock: Clock, *, limit: int = MAX_ENDPOINTS_PER_SLICE) -> None:
        self._store = store
        self._view = view
        self._limit = limit
        self._events = EventRecorder(store, clock, "endpoint-slice-controller")
        self._told: dict[Key, TriggerTimes] = {}
        self._without_hints: dict[Key, str | None] = {}  # why, as it was last told

    def concerned(self, change: Change) -> Iterable[Key]:
        if change.resource is SERVICES:
            return [key_of(change.object)]
        if change.resource is PODS:
            return services_of_pods(self._view, change)
        if change.resource is ENDPOINT_SLICES:
            return service_of_slice(change, MANAGED_BY)
        if change.resource is NODES and _topology(change.old) != _topology(change.new):
            return [key_of(service) for service in self._view.services.all() if selects(service)]
        return ()

    def reconcile(self, key: Key) -> None:
        service = self._view.services.get(key)
        if service is None or not selects(service):
            self._told.pop(key, None)
            self._without_hints.pop(key, None)
            return
        pods = self._view.pods_with(key.namespace, service["spec"]["selector"])
        slices = self._view.endpoint_slices.where("service", key)
        existing = [s for s in slices if labels_of(s).get(LABEL_MANAGED_BY) == MANAGED_BY]
        changed = self._told.setdefault(key, TriggerTimes()).next(service, pods)
        nodes = self._view.nodes_by_name()
        plan = slices_for(service, pods, nodes, existing, limit=self._limit, trigger_time=changed)
        carry_out(self._store, plan)
        self._tell_of_hints(service, why_no_hints(service, pods, nodes))

    def _tell_of_hints(self, service: Object, why_none: str | None) -> None:
        """Say why there are no hints, each reason once as long as it lasts."""
        if why_none != self._without_hints.get(key_of(service)):
            self._without_hints[key_of(service)] = why_none
            if why_none:
                self._events.record(SERVICES, service, WARNING, "TopologyAwareHintsDisabled", why_none)


def carry_out(store: Store, plan: Plan) -> None:
    """Write what a plan says; new slices first, so that no endpoint is ever missing."""
    for obj in plan.create:
        store.create(ENDPOINT_SLICES, obj)
    for obj in plan.update:
        store.update(ENDPOINT_SLICES, obj)
    for obj in plan.delete:
        store.delete(ENDPOINT_SLICES, *key_of(obj))


def services_of_pods(view: View, change: Change) -> set[Key]:
    """The Services that selected this pod before the change or do so after it."""
    pods = (pod for pod in (change.old, change.new) if pod)
    return {key_of(service) for pod in pods for service in view.services_selecting(pod)}


def service_of_slice(change: Change, manager: str) -> Iterator[Key]:
    """The Service that a slice is about, before the change and after it, if this manager keeps the slice."""
    for obj in (change.old, change.new):
        if obj and labels_of(obj).get(LABEL_MANAGED_BY) == manager and labels_of(obj).get(LABEL_SERVICE_NAME):
            yield Key(obj["metadata"]["namespace"], labels_of(obj)[LABEL_SERVICE_NAME])


def _topology(node: Object | None) -> tuple[object, ...] | None:
    """What endpoints and hints depend on; a node's status changes much more often."""
    if node is None:
        return None
    return (
        labels_of(node).get(LABEL_ZONE),
        "node-role.kubernetes.io/control-plane" in labels_of(node),
        (condition(node, "Ready") or {}).get("status"),
        node.get("status", {}).get("allocatable", {}).get("cpu"),
    )
