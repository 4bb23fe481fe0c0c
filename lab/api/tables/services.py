"""The columns of Services, Endpoints and EndpointSlices."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lab.api.errors import Object
from lab.api.tables.cells import NONE, age, few, labels

SERVICE_COLUMNS = "Name Type Cluster-IP External-IP Port(s) Age +Selector"
ENDPOINTS_COLUMNS = "Name Endpoints Age"
ENDPOINT_SLICE_COLUMNS = "Name AddressType Ports Endpoints Age"
_UNSET = "<unset>"


def service(obj: Object, now: datetime) -> list[Any]:
    spec, meta = obj["spec"], obj["metadata"]
    ports = [_service_port(port) for port in spec.get("ports") or ()]
    return [
        meta["name"],
        spec["type"],
        spec.get("clusterIP") or NONE,
        _external(obj),
        ",".join(ports) or NONE,
        age(meta.get("creationTimestamp"), now),
        labels(spec.get("selector")),
    ]


def _service_port(port: Object) -> str:
    number = f"{port['port']}:{port['nodePort']}" if port.get("nodePort") else f"{port['port']}"
    return f"{number}/{port['protocol']}"


def _external(obj: Object) -> str:
    spec = obj["spec"]
    if spec["type"] == "ExternalName":
        return str(spec.get("externalName", NONE))
    given = list(spec.get("externalIPs") or ())
    if spec["type"] == "LoadBalancer":
        ingress = obj.get("status", {}).get("loadBalancer", {}).get("ingress") or []
        assigned = [entry.get("ip") or entry.get("hostname", "") for entry in ingress]
        return ",".join([*assigned, *given]) or "<pending>"
    return ",".join(given) or NONE


def endpoints(obj: Object, now: datetime) -> list[Any]:
    found = []
    for subset in obj.get("subsets") or ():
        for address in subset.get("addresses") or ():
            ports = [port["port"] for port in subset.get("ports") or ()]
            found += [_with_port(address["ip"], port) for port in ports] if ports else [address["ip"]]
    return [obj["metadata"]["name"], few(found), age(obj["metadata"].get("creationTimestamp"), now)]


def endpoint_slice(obj: Object, now: datetime) -> list[Any]:
    addresses = [address for endpoint in obj["endpoints"] for address in endpoint.get("addresses") or ()]
    ports = [str(port.get("port", "*")) for port in obj.get("ports") or ()]
    return [
        obj["metadata"]["name"],
        obj["addressType"],
        few(ports) if ports else _UNSET,
        few(addresses) if addresses else _UNSET,
        age(obj["metadata"].get("creationTimestamp"), now),
    ]


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
