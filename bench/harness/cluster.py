"""What the cluster of a measurement holds: many Services, all of the same backends, and a few with a purpose.

10.96.0.16 ...      the many: TCP 80 asks, UDP 80 is counted; every one has all backends
10.111.0.1 UDP 80   the canary: one backend at a time, to see when a change has arrived
10.111.0.2 TCP 5001 takes in streams
10.111.0.3 TCP 80   with ClientIP affinity
10.111.0.4 UDP 80   answers datagrams
10.111.0.5 UDP 80   the same, and loses an endpoint now and then in some measurements
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench import workload
from bench.workload import Json

NODE, NODE_ADDRESS = workload.NODE, workload.NODE_ADDRESS
POD_CIDR = "10.244.1.0/24"
CLIENT = "10.244.1.10"
BACKENDS = tuple(f"10.244.1.{20 + number}" for number in range(4))

ASK_PORT, STREAM_PORT, DATAGRAM_PORT = 8080, 8081, 8082  #: of each backend; UDP packets are counted at ASK_PORT

CANARY, STREAM, AFFINE, FLOWS, SCALED = (f"10.111.0.{number}" for number in range(1, 6))

first_address = workload.cluster_ip(0)


def services(count: int) -> Iterator[Json]:
    yield _special("canary", CANARY, "UDP", 80, DATAGRAM_PORT)
    yield _special("stream", STREAM, "TCP", 5001, STREAM_PORT)
    affine = _special("affine", AFFINE, "TCP", 80, ASK_PORT)
    affine["spec"]["sessionAffinity"] = "ClientIP"
    yield affine
    yield _special("flows", FLOWS, "UDP", 80, DATAGRAM_PORT)
    yield _special("scaled", SCALED, "UDP", 80, DATAGRAM_PORT)
    for number in range(count):
        service = workload.service(number)
        service["spec"]["ports"] = [
            {"name": "ask", "protocol": "TCP", "port": 80, "targetPort": ASK_PORT},
            {"name": "count", "protocol": "UDP", "port": 80, "targetPort": ASK_PORT},
        ]
        yield unsaved(service)


def endpoint_slices(count: int) -> Iterator[Json]:
    yield endpoint_slice("canary", [("", "UDP", DATAGRAM_PORT)], BACKENDS[:1])
    yield endpoint_slice("stream", [("", "TCP", STREAM_PORT)], BACKENDS)
    yield endpoint_slice("affine", [("", "TCP", ASK_PORT)], BACKENDS)
    for name in ("flows", "scaled"):
        yield endpoint_slice(name, [("", "UDP", DATAGRAM_PORT)], BACKENDS)
    for number in range(count):
        yield endpoint_slice(f"service-{number}", [("ask", "TCP", ASK_PORT), ("count", "UDP", ASK_PORT)], BACKENDS)


def endpoint_slice(service: str, ports: Sequence[tuple[str, str, int]], addresses: Sequence[str]) -> Json:
    labels = {"kubernetes.io/service-name": service}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": slice_name(service), "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": name, "protocol": protocol, "port": port} for name, protocol, port in ports],
        "endpoints": [endpoint(address) for address in addresses],
    }


def slice_name(service: str) -> str:
    return f"{service}-x7k2p"


def endpoint(address: str) -> Json:
    conditions = {"ready": True, "serving": True, "terminating": False}
    return {"addresses": [address], "conditions": conditions, "nodeName": NODE}


def endpoints(of: Json) -> Json:
    """An EndpointSlice as the older Endpoints, for proxies that read these."""
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": of["metadata"]["labels"]["kubernetes.io/service-name"],
            "namespace": of["metadata"]["namespace"],
        },
        "subsets": [{"addresses": [{"ip": each["addresses"][0]} for each in of["endpoints"]], "ports": of["ports"]}],
    }


def unsaved(object_: Json) -> Json:
    """Without what a server writes itself."""
    written_by_server = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "ownerReferences")
    metadata: dict[str, Any] = {k: v for k, v in object_["metadata"].items() if k not in written_by_server}
    return object_ | {"metadata": metadata}


def _special(name: str, address: str, protocol: str, port: int, target: int) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "clusterIP": address,
            "ports": [{"protocol": protocol, "port": port, "targetPort": target}],
        },
    }
