"""A ReplicaSet's pods as its template says, and its status as its pods say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from lab.api.errors import Object
from lab.controllers import pods as pod_state
from lab.controllers.objects import labels_of, owner_reference

_TEMPLATE_METADATA = ("labels", "annotations", "finalizers")


def wanted_replicas(replica_set: Object) -> int:
    """``spec.replicas``; missing means 1."""
    replicas = replica_set["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def new_pod(replica_set: Object) -> Object:
    """One more pod. Its name is given when it is created."""
    template = replica_set["spec"]["template"]
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{replica_set['metadata']['name']}-",
            "namespace": replica_set["metadata"]["namespace"],
            "ownerReferences": [owner_reference(replica_set, "apps/v1", "ReplicaSet")],
        }
        | {field: metadata[field] for field in _TEMPLATE_METADATA if metadata.get(field)},
        "spec": template["spec"],
    }


def status_of(replica_set: Object, active: Sequence[Object], now: datetime, problem: Object | None) -> Object:
    """``status`` with these active pods. `problem` is the ReplicaFailure condition, if there is any."""
    template_labels = (replica_set["spec"]["template"].get("metadata") or {}).get("labels") or {}
    wait = min_ready_seconds(replica_set)
    status: Object = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(template_labels.items() <= labels_of(pod).items() for pod in active),
        "readyReplicas": sum(pod_state.is_ready(pod) for pod in active),
        "availableReplicas": sum(pod_state.is_available(pod, wait, now) for pod in active),
        "observedGeneration": replica_set["metadata"].get("generation", 0),
    }
    status = {field: count for field, count in status.items() if count or field == "replicas"}
    return status | ({"conditions": [problem]} if problem else {})


def seconds_until_available(replica_set: Object, active: Iterable[Object], now: datetime) -> float | None:
    """When the next ready pod will have been ready for long enough; None if all ready ones have."""
    wait = timedelta(seconds=min_ready_seconds(replica_set))
    since = (pod_state.ready_since(pod) for pod in active)
    left = [(start + wait - now).total_seconds() for start in since if start and start + wait > now]
    return min(left) if left else None


def min_ready_seconds(workload: Object) -> int:
    return int(workload["spec"].get("minReadySeconds") or 0)
