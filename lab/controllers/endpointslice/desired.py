"""What a Service's slices should say, before anybody asks how it is divided among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.api.errors import Object
from lab.controllers import pods as pod_state
from lab.controllers.endpointslice.endpoint import endpoint_of_pod, is_ready
from lab.controllers.endpointslice.hints import (
    cpus_of_zones,
    hinted,
    wants_proportions,
    why_no_proportions,
)
from lab.controllers.endpointslice.ports import EndpointPort, ports_of_pod


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints that may share a slice: one address type, one set of ports."""

    address_type: str
    ports: tuple[EndpointPort, ...]
    endpoints: tuple[Object, ...]

    @property
    def key(self) -> GroupKey:
        return (self.address_type, frozenset(self.ports))


GroupKey = tuple[str, frozenset[EndpointPort]]  #: address type and ports, whose order means nothing


def key_of_slice(endpoint_slice: Object) -> GroupKey:
    ports = endpoint_slice.get("ports") or ()
    return (endpoint_slice["addressType"], frozenset(map(EndpointPort.of_object, ports)))


def address_types(service: Object) -> tuple[str, ...]:
    """The Service's IP families, the primary one first."""
    return tuple(service["spec"].get("ipFamilies") or ("IPv4",))


def selects(service: Object) -> bool:
    """Whether the Service has endpoints made from pods. Without selector, somebody else provides them."""
    spec = service["spec"]
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def groups_of(service: Object, pods: Iterable[Object], nodes: Mapping[str, Object]) -> list[Group]:
    """The Service's endpoints from the pods it selects, by address type and ports.

    An address type without any endpoint has one group without any ports either: that becomes the empty slice which
    tells "nobody" from "not looked yet".
    """
    pods = list(pods)
    groups = []
    for address_type in address_types(service):
        found = endpoints_of(service, pods, nodes, address_type)
        endpoints = hinted(service, [endpoint for _, endpoint in found], nodes.values())
        ports_by_key: dict[frozenset[EndpointPort], tuple[EndpointPort, ...]] = {}
        members: dict[frozenset[EndpointPort], list[Object]] = {}
        for (pod, _), endpoint in zip(found, endpoints, strict=True):
            ports = ports_of_pod(service, pod)
            ports_by_key.setdefault(frozenset(ports), ports)
            members.setdefault(frozenset(ports), []).append(endpoint)
        groups += [Group(address_type, ports_by_key[key], tuple(m)) for key, m in members.items()]
        if not members:
            groups.append(Group(address_type, (), ()))
    return groups


def endpoints_of(
    service: Object, pods: Iterable[Object], nodes: Mapping[str, Object], address_type: str
) -> list[tuple[Object, Object]]:
    """Pods with their endpoints, as yet without hints.

    Pods that are over or have no such address are left out, and those on a node that does not exist (any more),
    unless the Service publishes also what is not ready.
    """
    everyone = bool(service["spec"].get("publishNotReadyAddresses"))
    found = []
    for pod in pods:
        node = nodes.get(pod["spec"].get("nodeName") or "")
        if not pod_state.is_over(pod) and (node is not None or everyone):
            endpoint = endpoint_of_pod(pod, node, service, address_type)
            if endpoint:
                found.append((pod, endpoint))
    return found


def why_no_hints(service: Object, pods: Iterable[Object], nodes: Mapping[str, Object]) -> str | None:
    """Why a Service that asks for proportional hints does not get them; None if it does, or does not ask."""
    if not wants_proportions(service):
        return None
    pods = list(pods)
    for address_type in address_types(service):
        ready = [e for _, e in endpoints_of(service, pods, nodes, address_type) if is_ready(e)]
        reason = why_no_proportions(ready, cpus_of_zones(nodes.values()))
        if reason:
            return f"{reason}, addressType: {address_type}"
    return None
