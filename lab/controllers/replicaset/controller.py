"""Keeps as many pods of each ReplicaSet as it wants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.api.errors import ApiError, Object
from lab.api.registry import PODS, REPLICA_SETS
from lab.api.selectors import Selector
from lab.api.store import Store
from lab.controllers import pods as pod_state
from lab.controllers.collection import Change
from lab.controllers.events import NORMAL, WARNING, EventRecorder
from lab.controllers.objects import (
    Clock,
    Key,
    condition,
    controller_of,
    is_going,
    key_of,
    owner_reference,
    text_of,
)
from lab.controllers.ownership import adopted, claims, released
from lab.controllers.replicaset.replicas import new_pod, seconds_until_available, status_of, wanted_replicas
from lab.controllers.replicaset.victims import victims
from lab.controllers.view import View

BURST = 500  #: most pods created or deleted at once
FAILED = "FailedCreate"


class ReplicaSetController:
    """One key: one ReplicaSet. Pods of a deleted one go with it, as its dependents."""

    name = "replicaset"

    def __init__(self, store: Store, view: View, clock: Clock) -> None:
        self._store = store
        self._view = view
        self._clock = clock
        self._events = EventRecorder(store, clock, "replicaset-controller")

    def concerned(self, change: Change) -> Iterable[Key]:
        if change.resource is REPLICA_SETS:
            return [key_of(change.object)]
        if change.resource is PODS:
            return {key for pod in (change.old, change.new) if pod for key in self._sets_of(pod)}
        return ()

    def reconcile(self, key: Key) -> float | None:
        replica_set = self._view.replica_sets.get(key)
        if replica_set is None:
            return None
        self._settle_ownership(replica_set)
        error = None if is_going(replica_set) else self._set_number(replica_set)
        now = self._clock()
        active = self._active_pods(replica_set)
        problem = self._failure(replica_set, error) if error else None
        status = status_of(replica_set, active, now, problem)
        if status != replica_set.get("status"):
            self._store.update(REPLICA_SETS, replica_set | {"status": status}, subresource="status")
        if error:
            raise error
        return seconds_until_available(replica_set, active, now)

    def _sets_of(self, pod: Object) -> list[Key]:
        """The ReplicaSet that controls the pod, or those that might adopt it."""
        namespace = pod["metadata"]["namespace"]
        reference = controller_of(pod)
        if reference:
            return [Key(namespace, reference["name"])] if reference["kind"] == "ReplicaSet" else []
        return [
            key_of(replica_set)
            for replica_set in self._view.replica_sets.where("namespace", namespace)
            if Selector.of_object(replica_set["spec"]["selector"]).matches_object(pod)
        ]

    def _settle_ownership(self, replica_set: Object) -> None:
        metadata = replica_set["metadata"]
        candidates = self._view.pods.where("owner", metadata["uid"])
        unowned = [p for p in self._view.pods.where("unowned", metadata["namespace"]) if pod_state.is_active(p)]
        found = claims(replica_set, candidates + unowned)
        for pod in found.adopt:
            self._store.update(PODS, adopted(pod, owner_reference(replica_set, "apps/v1", "ReplicaSet")))
        for pod in found.release:
            self._store.update(PODS, released(pod, replica_set))

    def _active_pods(self, replica_set: Object) -> list[Object]:
        pods = self._view.pods.where("owner", replica_set["metadata"]["uid"])
        return [pod for pod in pods if pod_state.is_active(pod)]

    def _set_number(self, replica_set: Object) -> ApiError | None:
        """Create or delete pods. Returns why it could not."""
        active = self._active_pods(replica_set)
        missing = wanted_replicas(replica_set) - len(active)
        try:
            for _ in range(min(missing, BURST)):
                self._created(replica_set, self._store.create(PODS, new_pod(replica_set)))
            if missing < 0:
                for pod in victims(active, min(-missing, BURST), self._related(replica_set)):
                    self._store.delete(PODS, *key_of(pod))
                    message = f"Deleted pod: {pod['metadata']['name']}"
                    self._events.record(REPLICA_SETS, replica_set, NORMAL, "SuccessfulDelete", message)
        except ApiError as error:
            self._events.record(REPLICA_SETS, replica_set, WARNING, FAILED, f"Error creating: {error}")
            return error
        return None

    def _created(self, replica_set: Object, pod: Object) -> None:
        message = f"Created pod: {pod['metadata']['name']}"
        self._events.record(REPLICA_SETS, replica_set, NORMAL, "SuccessfulCreate", message)

    def _related(self, replica_set: Object) -> Sequence[Object]:
        """The active pods of all ReplicaSets of the same Deployment."""
        reference = controller_of(replica_set)
        family = self._view.replica_sets.where("owner", reference["uid"]) if reference else [replica_set]
        return [pod for member in family for pod in self._active_pods(member)]

    def _failure(self, replica_set: Object, error: ApiError) -> Object:
        """The condition that tells of the first failure: later ones differ only in the names they mention."""
        return condition(replica_set, "ReplicaFailure") or {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": text_of(self._clock()),
            "reason": FAILED,
            "message": str(error),
        }
