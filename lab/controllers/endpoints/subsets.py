"""v1 Endpoints, the older form of slices: all of a Service in one object, of its first IP family only.

Kept because kube-proxy up to 1.20, `kubectl describe service` and people read it. A subset is a set of ports
with the addresses that serve all of them; ready and not ready addresses are listed apart.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

from controller.objects import ANNOTATION_TRIGGER_TIME, LABEL_HEADLESS
from lab.api.errors import Object
from lab.controllers import pods as pod_state
from lab.controllers.endpointslice.desired import address_types
from lab.controllers.endpointslice.endpoint import endpoint_of_pod
from lab.controllers.endpointslice.plan import is_headless
from lab.controllers.endpointslice.ports import EndpointPort, ports_of_pod
from lab.controllers.objects import annotations_of, is_going, labels_of, with_metadata

MAX_ADDRESSES = 1000  #: more are cut off, and an annotation says so

LABEL_MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGED_BY = "endpoint-controller"
ANNOTATION_OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"


class _Place(NamedTuple):
    """An address in a subset."""

    ready: bool
    address: str
    pod: str

    def order(self) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, str]:
        return (ipaddress.ip_address(self.address), self.pod)


def endpoints_for(
    service: Object, pods: Iterable[Object], existing: Object | None, *, trigger_time: str | None = None
) -> Object | None:
    """The Endpoints object to write so that it says where the Service's `pods` are. None: `existing` does already."""
    subsets, truncated = subsets_of(service, pods)
    metadata = service["metadata"]
    labels = labels_of(service) | {LABEL_MANAGED_BY: MANAGED_BY}
    if is_headless(service):
        labels[LABEL_HEADLESS] = ""
    annotations = dict(annotations_of(existing)) if existing else {}
    told = annotations.pop(ANNOTATION_TRIGGER_TIME, None)
    annotations.pop(ANNOTATION_OVER_CAPACITY, None)
    if truncated:
        annotations[ANNOTATION_OVER_CAPACITY] = "truncated"
    if existing:
        same_notes = annotations == {k: v for k, v in annotations_of(existing).items() if k != ANNOTATION_TRIGGER_TIME}
        if (existing.get("subsets") or []) == subsets and labels_of(existing) == labels and same_notes:
            return None
    time = trigger_time or told
    if time:
        annotations[ANNOTATION_TRIGGER_TIME] = time
    base: Object = existing or {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
    }
    return with_metadata(base, labels=labels, annotations=annotations or None) | {"subsets": subsets}


def subsets_of(service: Object, pods: Iterable[Object], limit: int = MAX_ADDRESSES) -> tuple[list[Object], bool]:
    """The subsets, in a stable order, and whether addresses beyond `limit` were cut off."""
    entries: dict[_Place, Object] = {}
    places_by_port: dict[EndpointPort | None, set[_Place]] = {}
    everyone = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in pods:
        if pod_state.is_over(pod) or (is_going(pod) and not everyone):
            continue
        endpoint = endpoint_of_pod(pod, None, service, address_types(service)[0])
        if endpoint is None:
            continue
        place = _Place(everyone or pod_state.is_ready(pod), endpoint["addresses"][0], pod["metadata"]["name"])
        entries[place] = _address(endpoint)
        if service["spec"].get("ports"):
            for port in ports_of_pod(service, pod):
                places_by_port.setdefault(port, set()).add(place)
        elif is_headless(service):
            places_by_port.setdefault(None, set()).add(place)

    kept = sorted(entries, key=lambda place: (not place.ready, *place.order()))[:limit]
    ports_by_places: dict[frozenset[_Place], list[EndpointPort]] = {}
    for served_port, places in places_by_port.items():
        served = ports_by_places.setdefault(frozenset(places.intersection(kept)), [])
        if served_port:
            served.append(served_port)
    subsets = [_subset(places, ports, entries) for places, ports in ports_by_places.items() if places]
    return sorted(subsets, key=repr), len(entries) > limit


def _subset(members: Iterable[_Place], ports: list[EndpointPort], entries: dict[_Place, Object]) -> Object:
    subset: Object = {}
    places = sorted(members, key=_Place.order)
    ready = [entries[place] for place in places if place.ready]
    not_ready = [entries[place] for place in places if not place.ready]
    if ready:
        subset["addresses"] = ready
    if not_ready:
        subset["notReadyAddresses"] = not_ready
    if ports:
        subset["ports"] = [_port(port) for port in sorted(ports, key=lambda p: (p.name, p.protocol, p.port))]
    return subset


def _port(port: EndpointPort) -> Object:
    obj = port.to_object()
    return obj if port.name else {k: v for k, v in obj.items() if k != "name"}


def _address(endpoint: Object) -> Object:
    address: Object = {"ip": endpoint["addresses"][0]}
    for field in ("hostname", "nodeName", "targetRef"):
        if field in endpoint:
            address[field] = endpoint[field]
    return address
