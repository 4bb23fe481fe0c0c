"""A cluster of any size, as the API server would send it: JSON lists in pages, and watch events.

Every Service has two ports and, unless asked for otherwise, four ready endpoints, on a hundred nodes of which `n1` is
this one. The objects carry what real ones carry although no dataplane reads it (managedFields, owners, annotations),
since skipping it takes time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

NODE = "n1"
NODE_ADDRESS = "192.0.2.1"
CLUSTER_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/12"

NODES = 100
ENDPOINTS = 4
PORTS = (("http", 80, 8080), ("metrics", 9090, 9090))

_PAGE = 500  # objects in one page of a list, as the agent asks for
SLICE = 100  # endpoints in one slice at most, as the slice controller makes them

Json = dict[str, Any]


class Shape(NamedTuple):
    """How large a cluster is."""

    services: int
    endpoints: int = ENDPOINTS  #: of each Service

    def __str__(self) -> str:
        return f"{self.services}x{self.endpoints}"

    @staticmethod
    def parse(text: str) -> Shape:
        """From "10000", or "1000x100". ValueError if it is neither."""
        return Shape(*(int(number) for number in text.split("x", 1)))

    @property
    def slices(self) -> Iterator[tuple[int, int]]:
        """(Service, part of its endpoints) of each slice, for `endpoint_slice`."""
        parts = range((self.endpoints + SLICE - 1) // SLICE)
        return ((service, part) for service in range(self.services) for part in parts)


def cluster_ip(service: int) -> str:
    number = (10 << 24 | 96 << 16) + 16 + service
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def endpoint_address(service: int, endpoint: int, endpoints: int = ENDPOINTS) -> str:
    number = (10 << 24 | 244 << 16) + service * endpoints + endpoint
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def service(number: int) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            **_metadata(f"service-{number}", number),
            "labels": {"app": f"app-{number}", "app.kubernetes.io/managed-by": "Helm"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": cluster_ip(number),
            "clusterIPs": [cluster_ip(number)],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "selector": {"app": f"app-{number}"},
            "ports": [{"name": n, "protocol": "TCP", "port": p, "targetPort": t} for n, p, t in PORTS],
        },
        "status": {"loadBalancer": {}},
    }


def endpoint_slice(
    number: int, not_ready: int | None = None, version: int = 1, *, endpoints: int = ENDPOINTS, part: int = 0
) -> Json:
    """One slice of a Service with so many endpoints; `not_ready` is the endpoint that is out of service."""
    here = range(part * SLICE, min(endpoints, (part + 1) * SLICE))
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            **_metadata(f"service-{number}-x7k{part:02}", version),
            "generateName": f"service-{number}-",
            "labels": {
                "kubernetes.io/service-name": f"service-{number}",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"},
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "name": f"service-{number}",
                    "uid": _uid(number),
                    "controller": True,
                }
            ],
        },
        "addressType": "IPv4",
        "ports": [{"name": n, "protocol": "TCP", "port": t} for n, _, t in PORTS],
        "endpoints": [_endpoint(number, each, endpoints, ready=each != not_ready) for each in here],
    }


def node() -> Json:
    """The node's own object."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {**_metadata(NODE, 1), "namespace": "", "labels": {"topology.kubernetes.io/zone": "za"}},
        "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}]},
    }


def service_pages(services: int) -> Iterator[bytes]:
    yield from _pages("ServiceList", services, service)


def endpoint_slice_pages(services: int) -> Iterator[bytes]:
    yield from _pages("EndpointSliceList", services, endpoint_slice)


def endpoint_changes(services: int, count: int) -> Iterator[bytes]:
    """Watch events: one endpoint of some Service goes out of service, and comes back in the next event."""
    for number in range(count):
        # 7919 is a prime that divides no usual size: the Services come in no order.
        which = number // 2 * 7919 % services
        gone = number // 2 % ENDPOINTS if number % 2 == 0 else None
        changed = endpoint_slice(which, not_ready=gone, version=services + number + 2)
        yield msgspec.json.encode({"type": "MODIFIED", "object": changed})


def _pages(kind: str, services: int, make: Any) -> Iterator[bytes]:
    for start in range(0, services, _PAGE):
        end = min(start + _PAGE, services)
        metadata = {"resourceVersion": str(services + 1), "continue": "more" if end < services else ""}
        items = [make(number) for number in range(start, end)]
        yield msgspec.json.encode({"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": items})


def _endpoint(number: int, each: int, endpoints: int, ready: bool) -> Json:
    on = (number + each) % NODES + 1
    return {
        "addresses": [endpoint_address(number, each, endpoints)],
        "conditions": {"ready": ready, "serving": ready, "terminating": False},
        "nodeName": f"n{on}",
        "zone": f"z{'abc'[on % 3]}",
        "targetRef": {
            "kind": "Pod",
            "namespace": "default",
            "name": f"app-{number}-6d4cf56db6-{each}",
            "uid": _uid(each),
        },
    }


def _uid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _metadata(name: str, version: int) -> Json:
    return {
        "name": name,
        "namespace": "default",
        "uid": _uid(version),
        "resourceVersion": str(version),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [
            {
                "manager": "kube-controller-manager",
                "operation": "Update",
                "apiVersion": "v1",
                "time": "2026-01-01T00:00:00Z",
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:ports": {".": {}}}},
            }
        ],
    }
