"""Endpoints made by hand, for a Service without selector, as slices: what older programs write, new ones can read."""

from __future__ import annotations

from collections.abc import Iterable

from controller.objects import LABEL_SERVICE_NAME
from lab.api.errors import Object
from lab.controllers.endpointslice.desired import Group, GroupKey
from lab.controllers.endpointslice.endpoint import address_type_of
from lab.controllers.endpointslice.plan import (
    LABEL_MANAGED_BY,
    MAX_ENDPOINTS_PER_SLICE,
    Parent,
    Plan,
    plan,
)
from lab.controllers.endpointslice.ports import EndpointPort
from lab.controllers.objects import annotations_of, is_going, labels_of, owner_reference

MANAGED_BY = "endpointslicemirroring-controller.k8s.io"
LABEL_SKIP = "endpointslice.kubernetes.io/skip-mirror"
ANNOTATION_LEADER = "control-plane.alpha.kubernetes.io/leader"  # such Endpoints are locks, not addresses


def is_mirrored(endpoints: Object, service: Object | None) -> bool:
    """Whether these Endpoints are somebody's own, and about addresses."""
    return (
        service is not None
        and not service["spec"].get("selector")
        and labels_of(endpoints).get(LABEL_SKIP) != "true"
        and ANNOTATION_LEADER not in annotations_of(endpoints)
    )


def mirrored_slices(endpoints: Object, existing: Iterable[Object], *, limit: int = MAX_ENDPOINTS_PER_SLICE) -> Plan:
    """What must be written so that the slices say the same as the Endpoints.

    `existing` are the slices of its name that mirroring manages.
    """
    metadata = endpoints["metadata"]
    labels = labels_of(endpoints) | {LABEL_SERVICE_NAME: metadata["name"], LABEL_MANAGED_BY: MANAGED_BY}
    owner = owner_reference(endpoints, "v1", "Endpoints")
    parent = Parent(metadata["name"], metadata["namespace"], labels, owner, is_going(endpoints))
    return plan(parent, groups_of(endpoints), existing, limit, None)


def groups_of(endpoints: Object) -> list[Group]:
    """The subsets by address type and ports."""
    members: dict[GroupKey, list[Object]] = {}
    order: dict[GroupKey, tuple[EndpointPort, ...]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = tuple(map(EndpointPort.of_object, subset.get("ports") or ()))
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                key = (address_type_of(address["ip"]), frozenset(ports))
                order.setdefault(key, ports)
                members.setdefault(key, []).append(_endpoint(address, ready))
    return [Group(key[0], order[key], tuple(found)) for key, found in members.items()]


def _endpoint(address: Object, ready: bool) -> Object:
    endpoint: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint
