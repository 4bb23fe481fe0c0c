"""Words in which tests say what is in a cluster: short, and with sensible values for what does not matter.

    compiled(service("web", port(80), external_traffic_policy="Local"), piece("web", "b1", "b3", ports=(("", 8080),)))

The cluster is always the same: node n1 is "this node", in zone za, with pods c1, c2 (clients), b1 and b2; node n2 is
in zone zb, with pods b3 and b4; x1 is outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from controller.compile import NodeView, compile_service
from controller.objects import (
    EndpointConditions,
    EndpointHints,
    EndpointSlice,
    ForNode,
    ForZone,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Metadata,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SliceEndpoint,
    SlicePort,
)
from controller.selection import Place
from dataplane.reference import State
from dataplane.table import DetectLocal, Family, ForwardingTable

CLUSTER_IP = "10.96.0.10"
CLUSTER_IP6 = "fd00:10:96::a"
VIP = "198.51.100.7"
CLUSTER_CIDRS = ("10.244.0.0/16", "fd00:244::/32")
SERVICE_CIDRS = frozenset({"10.96.0.0/12", "fd00:10:96::/112"})

ADDRESSES = {
    "n1": ("192.0.2.1", "fd00:192::1"),
    "n2": ("192.0.2.2", "fd00:192::2"),
    "x1": ("192.0.2.50", "fd00:192::32"),
    "c1": ("10.244.1.10", "fd00:244:1::a"),
    "c2": ("10.244.1.11", "fd00:244:1::b"),
    "b1": ("10.244.1.21", "fd00:244:1::15"),
    "b2": ("10.244.1.22", "fd00:244:1::16"),
    "b3": ("10.244.2.23", "fd00:244:2::17"),
    "b4": ("10.244.2.24", "fd00:244:2::18"),
}
NODES = {"c1": "n1", "c2": "n1", "b1": "n1", "b2": "n1", "b3": "n2", "b4": "n2"}
ZONES = {"n1": "za", "n2": "zb"}
NAMES = {address: name for name, addresses in ADDRESSES.items() for address in addresses}

HERE = Place("n1", "za")
HOST_ADDRESSES = frozenset({*ADDRESSES["n1"], "127.0.0.1", "::1"})

TCP = "TCP"
UDP = "UDP"
SCTP = "SCTP"


def address(name: str, family: Family = Family.IPV4) -> str:
    """The address of a machine; what is no machine's name is taken as an address."""
    return ADDRESSES[name][0 if family is Family.IPV4 else 1] if name in ADDRESSES else name


def port(number: int = 80, name: str = "", protocol: str = TCP, *, node_port: int | None = None) -> ServicePort:
    return ServicePort(port=number, name=name, protocol=protocol, node_port=node_port)


def service(
    name: str = "web",
    *ports: ServicePort,
    cluster_ip: str = CLUSTER_IP,
    vips: Iterable[str | LoadBalancerIngress] = (),
    labels: dict[str, str] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    **spec: Any,
) -> Service:
    """A Service; port 80 unless told. `vips` are its load-balancer addresses, which make it a LoadBalancer."""
    ports = ports or (port(),)
    ingress = tuple(vip if isinstance(vip, LoadBalancerIngress) else LoadBalancerIngress(ip=vip) for vip in vips)
    if "type" not in spec:
        reached_by_node = any(p.node_port for p in ports)
        spec["type"] = "LoadBalancer" if ingress else "NodePort" if reached_by_node else "ClusterIP"
    return Service(
        Metadata(name=name, namespace="default", labels=labels, creation_timestamp=created),
        ServiceSpec(**{"cluster_ip": cluster_ip, "ports": ports, **spec}),
        ServiceStatus(LoadBalancerStatus(ingress)) if ingress else None,
    )


def dual_stack(name: str = "web", *ports: ServicePort, **spec: Any) -> Service:
    """A Service with a cluster IP of each family, IPv4 first."""
    both = {"cluster_ips": (CLUSTER_IP, CLUSTER_IP6), "ip_families": ("IPv4", "IPv6")}
    return service(name, *ports, **{**both, **spec})


def endpoint(
    name: str,
    *,
    ready: bool | None = True,
    serving: bool | None = None,
    terminating: bool | None = None,
    zones: Iterable[str] = (),
    nodes: Iterable[str] = (),
    family: Family = Family.IPV4,
) -> SliceEndpoint:
    """An endpoint on one of the pods (or at any address, on no node). `zones` and `nodes` are its hints."""
    hints = EndpointHints(tuple(map(ForZone, zones)) or None, tuple(map(ForNode, nodes)) or None)
    node = NODES.get(name)
    return SliceEndpoint(
        addresses=(address(name, family),),
        conditions=EndpointConditions(ready, serving, terminating),
        node_name=node,
        zone=ZONES.get(node or ""),
        hints=hints if hints != EndpointHints() else None,
    )


def draining(name: str, **also: Any) -> SliceEndpoint:
    """Terminating, and still serving."""
    return endpoint(name, ready=False, serving=True, terminating=True, **also)


def stopped(name: str, **also: Any) -> SliceEndpoint:
    """Terminating, and no longer serving."""
    return endpoint(name, ready=False, serving=False, terminating=True, **also)


def unready(name: str, **also: Any) -> SliceEndpoint:
    """Not ready, and not terminating."""
    return endpoint(name, ready=False, serving=False, terminating=False, **also)


def piece(
    of: str,
    *endpoints: SliceEndpoint | str,
    ports: Iterable[SlicePort | tuple[str, int] | tuple[str, int, str]] = (("", 8080),),
    name: str = "",
    family: Family = Family.IPV4,
) -> EndpointSlice:
    """One EndpointSlice of a Service. A pod's name stands for a ready endpoint on it."""
    return EndpointSlice(
        Metadata(name=name or f"{of}-1", namespace="default", labels={"kubernetes.io/service-name": of}),
        "IPv4" if family is Family.IPV4 else "IPv6",
        tuple(endpoint(e, family=family) if isinstance(e, str) else e for e in endpoints),
        tuple(p if isinstance(p, SlicePort) else SlicePort(p[0], p[1], p[2] if len(p) > 2 else TCP) for p in ports),
    )


def view(
    *,
    place: Place = HERE,
    pods_told: bool = True,
    masquerade_all: bool = False,
    node_port_addresses: Iterable[str] = ADDRESSES["n1"],
    detect_local: DetectLocal | None = None,
) -> NodeView:
    """This node, n1. Pods are told by the cluster's networks, unless `pods_told` or `detect_local` say otherwise."""
    return NodeView(
        place=place,
        addresses=ADDRESSES["n1"],
        node_port_addresses=frozenset(node_port_addresses),
        detect_local=detect_local or DetectLocal(CLUSTER_CIDRS if pods_told else ()),
        masquerade_all=masquerade_all,
    )


def compiled(of: Service, *slices: EndpointSlice, node: NodeView | None = None) -> ForwardingTable:
    """The table of a cluster with this one Service."""
    node = node or view()
    found = compile_service(of, slices, node)
    return ForwardingTable(
        found.frontends, found.cluster_ips, SERVICE_CIDRS, node.node_port_addresses, node.detect_local
    )


def joined(*tables: ForwardingTable) -> ForwardingTable:
    """The table of one node with all these Services; node and addresses are those of the first."""
    frontends = {key: frontend for table in tables for key, frontend in table.frontends.items()}
    cluster_ips = frozenset().union(*(table.cluster_ips for table in tables))
    return replace(tables[0], frontends=frontends, cluster_ips=cluster_ips)


def state(**more: Any) -> State:
    """What node n1 knows before anybody has said anything."""
    egress = dict(zip((Family.IPV4, Family.IPV6), ADDRESSES["n1"], strict=True))
    return State(**{"host_addresses": HOST_ADDRESSES, "egress": egress, **more})
