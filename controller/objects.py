"""The Kubernetes objects that a node's dataplane depends on, with only the fields that are read.

Decoded straight from JSON bytes by msgspec; what is not named here is skipped without being kept. Everything is
immutable and comparable. Where the API server may write ``null`` (lists, times, optional values) that means the same
as a missing field. Numbers have the ranges that it holds them to, so that what gets past here fits into a packet.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

PortNumber: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65535)]
AffinitySeconds: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=86400)]


class _Struct(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """Immutable, and not looked at by the garbage collector: nothing here can form a cycle."""


class Metadata(_Struct, frozen=True):
    """ObjectMeta. `creation_timestamp` is RFC 3339 text, which sorts like the time."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None

    @property
    def key(self) -> ObjectKey:
        return (self.namespace, self.name)


# --- Service (core/v1) ------------------------------------------------------------------------------------------


class ServicePort(_Struct, frozen=True):
    port: PortNumber
    name: str = ""
    protocol: str = "TCP"
    node_port: PortNumber | None = None


class ClientIPConfig(_Struct, frozen=True):
    timeout_seconds: AffinitySeconds | None = None


class SessionAffinityConfig(_Struct, frozen=True):
    client_ip: ClientIPConfig | None = msgspec.field(default=None, name="clientIP")


class ServiceSpec(_Struct, frozen=True):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=None, name="clusterIPs")
    ip_families: tuple[str, ...] | None = None
    ports: tuple[ServicePort, ...] | None = None
    external_ips: tuple[str, ...] | None = msgspec.field(default=None, name="externalIPs")
    load_balancer_source_ranges: tuple[str, ...] | None = None
    external_traffic_policy: str = "Cluster"
    internal_traffic_policy: str | None = None
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    health_check_node_port: PortNumber | None = None


class LoadBalancerIngress(_Struct, frozen=True):
    ip: str = ""
    hostname: str = ""
    ip_mode: str | None = None


class LoadBalancerStatus(_Struct, frozen=True):
    ingress: tuple[LoadBalancerIngress, ...] | None = None


class ServiceStatus(_Struct, frozen=True):
    load_balancer: LoadBalancerStatus | None = None


class Service(_Struct, frozen=True):
    metadata: Metadata = Metadata()
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus | None = None


# --- EndpointSlice (discovery.k8s.io/v1) ------------------------------------------------------------------------


class EndpointConditions(_Struct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(_Struct, frozen=True):
    name: str


class ForNode(_Struct, frozen=True):
    name: str


class EndpointHints(_Struct, frozen=True):
    for_zones: tuple[ForZone, ...] | None = None
    for_nodes: tuple[ForNode, ...] | None = None


class ObjectReference(_Struct, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""


class SliceEndpoint(_Struct, frozen=True):
    addresses: tuple[str, ...] | None = None
    conditions: EndpointConditions | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None
    target_ref: ObjectReference | None = None


class SlicePort(_Struct, frozen=True):
    name: str | None = None
    port: PortNumber | None = None
    protocol: str | None = None


class EndpointSlice(_Struct, frozen=True):
    metadata: Metadata = Metadata()
    address_type: str = ""
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[SlicePort, ...] | None = None


# --- Node (core/v1) ---------------------------------------------------------------------------------------------


class Taint(_Struct, frozen=True):
    key: str = ""
    effect: str = ""


class NodeSpec(_Struct, frozen=True):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="podCIDRs")
    taints: tuple[Taint, ...] | None = None


class NodeAddress(_Struct, frozen=True):
    type: str = ""
    address: str = ""


class NodeStatus(_Struct, frozen=True):
    addresses: tuple[NodeAddress, ...] | None = None


class Node(_Struct, frozen=True):
    metadata: Metadata = Metadata()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus | None = None


# --- ServiceCIDR (networking.k8s.io/v1) -------------------------------------------------------------------------


class ServiceCIDRSpec(_Struct, frozen=True):
    cidrs: tuple[str, ...] | None = None


class ServiceCIDR(_Struct, frozen=True):
    metadata: Metadata = Metadata()
    spec: ServiceCIDRSpec = ServiceCIDRSpec()


Object: TypeAlias = Service | EndpointSlice | Node | ServiceCIDR

ObjectKey: TypeAlias = tuple[str, str]  #: (namespace, name); namespace "" for what has none

LABEL_PROXY_NAME = "service.kubernetes.io/service-proxy-name"
LABEL_HEADLESS = "service.kubernetes.io/headless"
LABEL_SERVICE_NAME = "kubernetes.io/service-name"
LABEL_ZONE = "topology.kubernetes.io/zone"
ANNOTATION_TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
