"""The ReplicaSets of a Deployment: which one is its present template's, how a new one looks, which can be forgotten."""

from __future__ import annotations

from collections.abc import Iterable

from lab.api.errors import Object
from lab.controllers.deployment.limits import Limits
from lab.controllers.deployment.rollout import Scale
from lab.controllers.deployment.status import Family
from lab.controllers.deployment.template_hash import LABEL, same_template, template_hash, with_hash
from lab.controllers.objects import annotations_of, creation_order, owner_reference, with_metadata
from lab.controllers.replicaset.replicas import wanted_replicas

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"

_OWN = {
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MOST,
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
}


def family_of(deployment: Object, replica_sets: Iterable[Object]) -> Family:
    """Two with the same template are possible (one was adopted): the older one counts."""
    ordered = sorted(replica_sets, key=creation_order)
    template = deployment["spec"]["template"]
    new = next((rs for rs in ordered if same_template(rs["spec"]["template"], template)), None)
    return Family(new, tuple(rs for rs in ordered if rs is not new))


def revision_of(obj: Object) -> int:
    text = annotations_of(obj).get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def next_revision(family: Family) -> int:
    """The new ReplicaSet's: its own if it is the highest already, else one more than the highest."""
    highest_old = max(map(revision_of, family.old), default=0)
    return max(highest_old + 1, revision_of(family.new) if family.new else 0)


def new_replica_set(deployment: Object, size: int, revision: int) -> Object:
    """A ReplicaSet for the present template."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    collisions = (deployment.get("status") or {}).get("collisionCount") or 0
    word = template_hash(spec["template"], collisions)
    template = with_hash(spec["template"], word)
    selector = spec["selector"]
    labels = template["metadata"]["labels"]
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{word}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": _inherited(deployment) | {REVISION: str(revision)} | _sizes(deployment),
            "ownerReferences": [owner_reference(deployment, "apps/v1", "Deployment")],
        },
        "spec": {
            "replicas": size,
            "selector": selector | {"matchLabels": (selector.get("matchLabels") or {}) | {LABEL: word}},
            "template": template,
        },
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    return made


def resized(replica_set: Object, size: int, deployment: Object) -> Object:
    """With this many replicas, and a note of what the Deployment wanted then."""
    annotations = annotations_of(replica_set) | _sizes(deployment)
    return with_metadata(replica_set, annotations=annotations) | {"spec": replica_set["spec"] | {"replicas": size}}


def brought_up_to_date(replica_set: Object, deployment: Object, revision: int) -> Object:
    """The new ReplicaSet with what may change without a new template: annotations, revision, minReadySeconds.

    A template that is used again (``kubectl rollout undo``) takes the next revision and remembers its earlier ones.
    """
    annotations = annotations_of(replica_set) | _inherited(deployment)
    before = revision_of(replica_set)
    if before < revision:
        history = [part for part in annotations.get(REVISION_HISTORY, "").split(",") if part]
        if before:
            annotations[REVISION_HISTORY] = ",".join([*history, str(before)])
        annotations[REVISION] = str(revision)
    spec = {k: v for k, v in replica_set["spec"].items() if k != "minReadySeconds"}
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return with_metadata(replica_set, annotations=annotations) | {"spec": spec}


def is_scaled(deployment: Object, family: Family) -> bool:
    """``spec.replicas`` is not what it was when the ReplicaSets were given their sizes."""
    wanted = str(wanted_replicas(deployment))
    notes = (annotations_of(rs).get(DESIRED) for rs in family.all if wanted_replicas(rs))
    return any(note is not None and note != wanted for note in notes)


def scale_of(replica_set: Object) -> Scale:
    """The ReplicaSet as the rollout sees it."""
    wanted = wanted_replicas(replica_set)
    available = int((replica_set.get("status") or {}).get("availableReplicas") or 0)
    most = annotations_of(replica_set).get(MOST, "")
    return Scale(
        replica_set["metadata"]["name"],
        wanted,
        min(available, wanted),
        int(most) if most.isdecimal() else 0,
    )


def forgettable(deployment: Object, family: Family) -> list[Object]:
    """Old ReplicaSets without pods beyond ``revisionHistoryLimit``, the oldest revisions first."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    empty = [
        rs
        for rs in family.old
        if not wanted_replicas(rs)
        and not (rs.get("status") or {}).get("replicas")
        and rs["metadata"].get("generation", 0) <= (rs.get("status") or {}).get("observedGeneration", 0)
        and not rs["metadata"].get("deletionTimestamp")
    ]
    surplus = len(empty) - (10 if limit is None else int(limit))
    return sorted(empty, key=revision_of)[: max(surplus, 0)]


def _inherited(deployment: Object) -> dict[str, str]:
    return {name: value for name, value in annotations_of(deployment).items() if name not in _OWN}


def _sizes(deployment: Object) -> dict[str, str]:
    limits = Limits.of(deployment)
    return {DESIRED: str(limits.wanted), MOST: str(limits.wanted + limits.surge)}
