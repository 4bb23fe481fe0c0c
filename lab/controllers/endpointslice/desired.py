"""What a Service's slices should say, before anybody asks how it is divided among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.api.errors import Object
from lab.controllers import pods as pod_state
from lab.controllers.endpointslice.endpoint import endpoint_of_pod
from lab.controllers.endpointslice.hints import hinted
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

    Pods that are over or have no address are left out, and those on a node that does not exist (any more), unless
    the Service publishes also what is not ready. An address type without any endpoint has one group without any
    ports either: that becomes the empty slice which tells "nobody" from "not looked yet".
    """
    candidates = [pod for pod in pods if _can_be_endpoint(pod, service, nodes)]
    groups = []
    for address_type in address_types(service):
        found: list[tuple[frozenset[EndpointPort], Object]] = []
        ports_by_key: dict[frozenset[EndpointPort], tuple[EndpointPort, ...]] = {}
        for pod in candidates:
            endpoint = endpoint_of_pod(pod, nodes.get(pod["spec"].get("nodeName", "")), service, address_type)
            if endpoint:
                ports = ports_of_pod(service, pod)
                ports_by_key.setdefault(frozenset(ports), ports)
                found.append((frozenset(ports), endpoint))
        endpoints = hinted(service, [endpoint for _, endpoint in found], nodes.values())
        by_ports: dict[frozenset[EndpointPort], list[Object]] = {key: [] for key in ports_by_key}
        for (key, _), endpoint in zip(found, endpoints, strict=True):
            by_ports[key].append(endpoint)
        groups += [Group(address_type, ports_by_key[key], tuple(members)) for key, members in by_ports.items()]
        if not by_ports:
            groups.append(Group(address_type, (), ()))
    return groups


def _can_be_endpoint(pod: Object, service: Object, nodes: Mapping[str, Object]) -> bool:
    if pod_state.is_over(pod) or not pod_state.addresses(pod):
        return False
    return pod["spec"].get("nodeName") in nodes or bool(service["spec"].get("publishNotReadyAddresses"))
