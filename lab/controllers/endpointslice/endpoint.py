"""A pod as one entry of ``EndpointSlice.endpoints``."""

from __future__ import annotations

import ipaddress

from controller.objects import LABEL_ZONE
from lab.api.errors import Object
from lab.controllers import pods
from lab.controllers.objects import is_going, labels_of


def endpoint_of_pod(pod: Object, node: Object | None, service: Object, address_type: str) -> Object | None:
    """How this pod serves this Service on addresses of this type (``IPv4``, ``IPv6``). None: it has none such.

    ``serving`` follows the readiness probe alone; ``ready`` needs also that the pod is not being deleted,
    unless the Service says ``publishNotReadyAddresses``.
    """
    addresses = [a for a in pods.addresses(pod) if address_type_of(a) == address_type]
    if not addresses:
        return None
    serving, terminating = pods.is_ready(pod), is_going(pod)
    everyone = bool(service["spec"].get("publishNotReadyAddresses"))
    metadata, spec = pod["metadata"], pod["spec"]
    endpoint: Object = {
        "addresses": addresses,
        "conditions": {
            "ready": everyone or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": {
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }
    if spec.get("nodeName"):
        endpoint["nodeName"] = spec["nodeName"]
    if node and labels_of(node).get(LABEL_ZONE):
        endpoint["zone"] = labels_of(node)[LABEL_ZONE]
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = spec["hostname"]
    return endpoint


def is_ready(endpoint: Object) -> bool:
    """Missing means ready, as the API says."""
    return endpoint.get("conditions", {}).get("ready") is not False


def identity(endpoint: Object) -> tuple[object, ...]:
    """What stays the same while conditions, node, zone and hints of an endpoint change."""
    target = endpoint.get("targetRef") or {}
    return (
        tuple(endpoint["addresses"]),
        endpoint.get("hostname"),
        target.get("namespace"),
        target.get("name"),
    )


def address_type_of(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"
