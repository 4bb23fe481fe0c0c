"""Keeps the ReplicaSets of each Deployment, one step at a time."""

from __future__ import annotations

from collections.abc import Iterable

from lab.api.errors import ApiError, Object
from lab.api.registry import DEPLOYMENTS, PODS, REPLICA_SETS
from lab.api.selectors import Selector
from lab.api.store import Store
from lab.controllers import pods as pod_state
from lab.controllers.collection import Change
from lab.controllers.deployment.limits import Limits, rolls
from lab.controllers.deployment.replica_sets import (
    REVISION,
    brought_up_to_date,
    family_of,
    forgettable,
    is_scaled,
    new_replica_set,
    next_revision,
    resized,
    revision_of,
    scale_of,
)
from lab.controllers.deployment.rollout import Sizes, recreate_step, rescale, rolling_step, size_of_new
from lab.controllers.deployment.status import Family, is_complete, seconds_until_deadline, status_of
from lab.controllers.events import NORMAL, EventRecorder
from lab.controllers.objects import (
    Clock,
    Key,
    annotations_of,
    controller_of,
    is_going,
    key_of,
    owner_reference,
    with_metadata,
)
from lab.controllers.ownership import adopted, claims, released
from lab.controllers.replicaset.replicas import wanted_replicas
from lab.controllers.view import View


class DeploymentController:
    """One key: one Deployment. Its ReplicaSets go with it, as its dependents."""

    name = "deployment"

    def __init__(self, store: Store, view: View, clock: Clock) -> None:
        self._store = store
        self._view = view
        self._clock = clock
        self._events = EventRecorder(store, clock, "deployment-controller")

    def concerned(self, change: Change) -> Iterable[Key]:
        if change.resource is DEPLOYMENTS:
            return [key_of(change.object)]
        if change.resource is REPLICA_SETS:
            return {key for obj in (change.old, change.new) if obj for key in self._deployments_of(obj)}
        if change.resource is PODS and change.new is None:
            return self._owner_of_pod(change.object)  # Recreate waits for the last old pod to go
        return ()

    def reconcile(self, key: Key) -> float | None:
        deployment = self._view.deployments.get(key)
        if deployment is None:
            return None
        created = False
        if not is_going(deployment):
            self._settle_ownership(deployment)
            created = self._step(deployment)
            deployment = self._note_revision(self._view.deployments.get(key) or deployment)
        family = self._family(deployment)
        now = self._clock()
        status = status_of(deployment, family, now, created=created)
        if status != deployment.get("status"):
            deployment = self._store.update(DEPLOYMENTS, deployment | {"status": status}, subresource="status")
        if is_complete(deployment, status) and not deployment["spec"].get("paused"):
            for replica_set in forgettable(deployment, family):
                self._store.delete(REPLICA_SETS, *key_of(replica_set))
        return seconds_until_deadline(deployment, now)

    def _step(self, deployment: Object) -> bool:
        """Do the next thing. Returns whether that was to create the new ReplicaSet."""
        family = self._family(deployment)
        limits = Limits.of(deployment)
        if is_scaled(deployment, family):
            self._resize(deployment, family, self._rescaled(deployment, family, limits))
            return False
        if deployment["spec"].get("paused"):
            return False
        old = [scale_of(rs) for rs in family.old]
        if family.new is None:
            if not rolls(deployment) and (any(s.wanted for s in old) or self._has_pods_left(family.old)):
                self._resize(deployment, family, recreate_step(limits, None, old, True))
                return False
            size = size_of_new(limits, 0, sum(s.wanted for s in old))
            return self._create(deployment, size, next_revision(family))
        self._bring_up_to_date(deployment, family)
        family = self._family(deployment)
        assert family.new is not None
        new = scale_of(family.new)
        if rolls(deployment):
            sizes = rolling_step(limits, new, old)
        else:
            sizes = recreate_step(limits, new, old, self._has_pods_left(family.old))
        self._resize(deployment, family, sizes)
        return False

    def _rescaled(self, deployment: Object, family: Family, limits: Limits) -> Sizes:
        new = scale_of(family.new) if family.new else None
        done = new is not None and new.wanted == new.available == limits.wanted
        return rescale(limits, new, [scale_of(rs) for rs in family.old], rolling=rolls(deployment), done=done)

    def _create(self, deployment: Object, size: int, revision: int) -> bool:
        try:
            made = self._store.create(REPLICA_SETS, new_replica_set(deployment, size, revision))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            self._take_another_name(deployment)
            return False
        self._tell_scaled(deployment, made["metadata"]["name"], 0, size)
        return True

    def _take_another_name(self, deployment: Object) -> None:
        """Somebody else's ReplicaSet has the name: the next hash will be a different one."""
        status = deployment.get("status") or {}
        count = int(status.get("collisionCount") or 0) + 1
        changed = deployment | {"status": status | {"collisionCount": count}}
        self._store.update(DEPLOYMENTS, changed, subresource="status")

    def _bring_up_to_date(self, deployment: Object, family: Family) -> None:
        assert family.new is not None
        updated = brought_up_to_date(family.new, deployment, next_revision(family))
        if updated != family.new:
            self._store.update(REPLICA_SETS, updated)

    def _resize(self, deployment: Object, family: Family, sizes: Sizes) -> None:
        for replica_set in family.all:
            name = replica_set["metadata"]["name"]
            size = sizes.get(name, wanted_replicas(replica_set))
            if size or name in sizes:
                updated = resized(replica_set, size, deployment)
                if updated != replica_set:
                    self._store.update(REPLICA_SETS, updated)
                    self._tell_scaled(deployment, name, wanted_replicas(replica_set), size)

    def _tell_scaled(self, deployment: Object, name: str, before: int, after: int) -> None:
        if before != after:
            way = "up" if after > before else "down"
            message = f"Scaled {way} replica set {name} from {before} to {after}"
            self._events.record(DEPLOYMENTS, deployment, NORMAL, "ScalingReplicaSet", message)

    def _note_revision(self, deployment: Object) -> Object:
        """The Deployment says which revision it is at."""
        new = self._family(deployment).new
        revision = str(revision_of(new)) if new else None
        if revision is None or annotations_of(deployment).get(REVISION) == revision:
            return deployment
        annotations = annotations_of(deployment) | {REVISION: revision}
        return self._store.update(DEPLOYMENTS, with_metadata(deployment, annotations=annotations))

    def _family(self, deployment: Object) -> Family:
        return family_of(deployment, self._view.replica_sets.where("owner", deployment["metadata"]["uid"]))

    def _has_pods_left(self, replica_sets: Iterable[Object]) -> bool:
        """Whether any of their pods still runs, be it only until its grace period ends."""
        pods = (pod for rs in replica_sets for pod in self._view.pods.where("owner", rs["metadata"]["uid"]))
        return any(not pod_state.is_over(pod) for pod in pods)

    def _settle_ownership(self, deployment: Object) -> None:
        metadata = deployment["metadata"]
        owned = self._view.replica_sets.where("owner", metadata["uid"])
        unowned = self._view.replica_sets.where("unowned", metadata["namespace"])
        found = claims(deployment, owned + unowned)
        for replica_set in found.adopt:
            reference = owner_reference(deployment, "apps/v1", "Deployment")
            self._store.update(REPLICA_SETS, adopted(replica_set, reference))
        for replica_set in found.release:
            self._store.update(REPLICA_SETS, released(replica_set, deployment))

    def _deployments_of(self, replica_set: Object) -> list[Key]:
        """The Deployment that controls the ReplicaSet, or those that might adopt it."""
        namespace = replica_set["metadata"]["namespace"]
        reference = controller_of(replica_set)
        if reference:
            return [Key(namespace, reference["name"])] if reference["kind"] == "Deployment" else []
        return [
            key_of(deployment)
            for deployment in self._view.deployments.where("namespace", namespace)
            if Selector.of_object(deployment["spec"]["selector"]).matches_object(replica_set)
        ]

    def _owner_of_pod(self, pod: Object) -> list[Key]:
        reference = controller_of(pod)
        if reference is None or reference["kind"] != "ReplicaSet":
            return []
        replica_set = self._view.replica_sets.get(Key(pod["metadata"]["namespace"], reference["name"]))
        return self._deployments_of(replica_set) if replica_set else []
