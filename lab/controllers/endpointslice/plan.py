"""From a Service and its pods to the slices that must be created, updated and deleted: one pure function.

A slice is ours if its label says that this controller manages it, and belongs to this very Service (not to an
older one of the same name) if that owns it by uid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controller.objects import ANNOTATION_TRIGGER_TIME, LABEL_HEADLESS, LABEL_SERVICE_NAME
from lab.api.errors import Object
from lab.controllers.endpointslice.desired import Group, GroupKey, groups_of, key_of_slice
from lab.controllers.endpointslice.packing import pack
from lab.controllers.objects import (
    annotations_of,
    is_controlled_by,
    is_going,
    labels_of,
    owner_reference,
    with_metadata,
)

MAX_ENDPOINTS_PER_SLICE = 100  #: kube-controller-manager's --max-endpoints-per-slice

MANAGED_BY = "endpointslice-controller.k8s.io"
LABEL_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


@dataclass(frozen=True, slots=True)
class Plan:
    """Whole objects to write. What is not named here stays as it is."""

    create: tuple[Object, ...] = ()
    update: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.create or self.update or self.delete)


@dataclass(frozen=True, slots=True)
class Parent:
    """What slices take from the object that they are made for."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    owner: Object  #: the owner reference
    going: bool  #: it is being deleted: make nothing new

    @staticmethod
    def of_service(service: Object) -> Parent:
        metadata = service["metadata"]
        labels = {k: v for k, v in labels_of(service).items() if k not in _RESERVED}
        if is_headless(service):
            labels[LABEL_HEADLESS] = ""
        labels[LABEL_SERVICE_NAME] = metadata["name"]
        labels[LABEL_MANAGED_BY] = MANAGED_BY
        owner = owner_reference(service, "v1", "Service")
        return Parent(metadata["name"], metadata["namespace"], labels, owner, is_going(service))


_RESERVED = {LABEL_MANAGED_BY, LABEL_SERVICE_NAME, LABEL_HEADLESS}


def is_headless(service: Object) -> bool:
    """Without an address of its own: only DNS tells where its endpoints are, and no dataplane looks at it."""
    return service["spec"].get("clusterIP") in (None, "", "None")


def slices_for(
    service: Object,
    pods: Iterable[Object],
    nodes: Mapping[str, Object],
    existing: Iterable[Object],
    *,
    limit: int = MAX_ENDPOINTS_PER_SLICE,
    trigger_time: str | None = None,
) -> Plan:
    """What must be written so that the Service's slices say where its `pods` are.

    `pods` are those that the selector matches, `nodes` all nodes by name, `existing` the slices of the Service that
    this controller manages. `trigger_time` is when the change happened that caused this (RFC 3339).
    """
    return plan(Parent.of_service(service), groups_of(service, pods, nodes), existing, limit, trigger_time)


def plan(
    parent: Parent, groups: Sequence[Group], existing: Iterable[Object], limit: int, trigger_time: str | None
) -> Plan:
    """What must be written so that `existing` become slices of these groups."""
    wanted = {group.key for group in groups}
    held: dict[GroupKey, list[Object]] = {}
    unwanted: list[Object] = []
    for endpoint_slice in existing:
        if is_going(endpoint_slice):
            continue
        key = key_of_slice(endpoint_slice)
        if key in wanted and _belongs(endpoint_slice, parent):
            held.setdefault(key, []).append(endpoint_slice)
        else:
            unwanted.append(endpoint_slice)

    create: list[Object] = []
    update: list[Object] = []
    for group in groups:
        mine = sorted(held.get(group.key, ()), key=lambda s: str(s["metadata"]["name"]))
        packing = pack(group.endpoints, mine, limit, lambda s: labels_of(s) != parent.labels)
        unwanted += packing.deleted
        update += [_updated(s, parent, endpoints, trigger_time) for s, endpoints in packing.updated]
        create += [_new(parent, group, endpoints, trigger_time) for endpoints in packing.created]
        if not group.endpoints and len(packing.deleted) == len(mine):
            create.append(_new(parent, group, [], trigger_time))
    return _finished(parent, create, update, unwanted)


def _finished(parent: Parent, create: list[Object], update: list[Object], delete: list[Object]) -> Plan:
    """Turn a deletion and a creation into one update: a client then never sees the endpoints missing."""
    remaining = []
    for old in delete:
        heir = next((new for new in create if new["addressType"] == old["addressType"]), None)
        if heir is None or not _belongs(old, parent):
            remaining.append(old)
        else:
            create.remove(heir)
            written = {k: heir["metadata"].get(k) for k in ("labels", "annotations")}
            update.append(old | with_metadata(old, **written) | {k: heir[k] for k in ("ports", "endpoints")})
    return Plan(() if parent.going else tuple(create), tuple(update), tuple(remaining))


def _belongs(endpoint_slice: Object, parent: Parent) -> bool:
    return is_controlled_by(endpoint_slice, {"metadata": parent.owner})


def _new(parent: Parent, group: Group, endpoints: list[Object], trigger_time: str | None) -> Object:
    metadata: Object = {
        "generateName": f"{parent.name}-",
        "namespace": parent.namespace,
        "labels": dict(parent.labels),
        "ownerReferences": [parent.owner],
    }
    if trigger_time:
        metadata["annotations"] = {ANNOTATION_TRIGGER_TIME: trigger_time}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": group.address_type,
        "ports": [port.to_object() for port in group.ports],
        "endpoints": endpoints,
    }


def _updated(old: Object, parent: Parent, endpoints: list[Object], trigger_time: str | None) -> Object:
    annotations = {k: v for k, v in annotations_of(old).items() if k != ANNOTATION_TRIGGER_TIME}
    if trigger_time:
        annotations[ANNOTATION_TRIGGER_TIME] = trigger_time
    metadata = {"labels": dict(parent.labels), "annotations": annotations or None}
    return with_metadata(old, **metadata) | {"endpoints": endpoints}
