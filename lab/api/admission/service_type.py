"""What follows from a Service's type alone: which numbers and addresses it has at all."""

from __future__ import annotations

from lab.api.errors import Object

HEADLESS = "None"


def needs_cluster_ip(spec: Object) -> bool:
    """All but ExternalName, which is only a name in DNS. A headless Service counts: its cluster IP is "None"."""
    return bool(spec.get("type", "ClusterIP") != "ExternalName")


def needs_node_ports(spec: Object) -> bool:
    """Whether every port gets a NodePort, asked for or not."""
    kind = spec.get("type")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True))


def may_have_node_ports(spec: Object) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def needs_health_check_node_port(spec: Object) -> bool:
    """Where load balancers ask a node whether it has local endpoints."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_external(spec: Object) -> bool:
    """Whether it can be reached from outside the cluster, so that externalTrafficPolicy means something."""
    kind = spec.get("type", "ClusterIP")
    return kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def is_headless(spec: Object) -> bool:
    return bool(spec.get("clusterIP") == HEADLESS)


def node_ports(spec: Object) -> set[int]:
    """All ports on nodes that it has, the health check's included."""
    ports = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        ports.add(spec["healthCheckNodePort"])
    return ports


def cluster_ips(spec: Object) -> set[str]:
    """All addresses that it has been given."""
    return {ip for ip in spec.get("clusterIPs") or () if ip != HEADLESS}
