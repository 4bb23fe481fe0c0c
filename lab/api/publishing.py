"""The Service ``default/kubernetes``: how pods reach the API server, which publishes itself."""

from __future__ import annotations

from lab.api.errors import Object
from lab.api.registry import ENDPOINT_SLICES, ENDPOINTS, SERVICES, Resource
from lab.api.store import Store

_NAME = {"name": "kubernetes", "namespace": "default"}


def publish(store: Store, address: str, port: int) -> None:
    """Make what is missing: the Service on the first cluster IP, and this address and port as its endpoint."""
    served = [{"name": "https", "port": port, "protocol": "TCP"}]
    for resource, obj in (
        (SERVICES, _service(store, port)),
        (ENDPOINTS, _endpoints(address, served)),
        (ENDPOINT_SLICES, _endpoint_slice(address, served)),
    ):
        _ensure(store, resource, obj)


def _ensure(store: Store, resource: Resource, obj: Object) -> None:
    if store.find(resource, "default/kubernetes") is None:
        store.create(resource, obj)


def _service(store: Store, port: int) -> Object:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]
    spec = {"clusterIP": store.first_cluster_ip(), "ports": ports}
    return {"metadata": _NAME | {"labels": labels}, "spec": spec}


def _endpoints(address: str, served: list[Object]) -> Object:
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    return {"metadata": _NAME | {"labels": labels}, "subsets": [{"addresses": [{"ip": address}], "ports": served}]}


def _endpoint_slice(address: str, served: list[Object]) -> Object:
    return {
        "metadata": _NAME | {"labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv6" if ":" in address else "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": served,
    }
