"""What a Service looks like when its owner left things out, and what a change of type takes away."""

from __future__ import annotations

from lab.api.admission.service_type import (
    is_external,
    may_have_node_ports,
    needs_cluster_ip,
    needs_health_check_node_port,
)
from lab.api.errors import Object

AFFINITY_SECONDS = 10800  # three hours


def set_defaults(spec: Object) -> None:
    """Fill in every field that has a constant default."""
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client_ip = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client_ip.setdefault("timeoutSeconds", AFFINITY_SECONDS)
    for port in spec.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port")
    if is_external(spec):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if needs_cluster_ip(spec):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def forget_empty(spec: Object) -> None:
    """Drop zeros and empty texts that mean "not set"."""
    for field in (
        "clusterIP",
        "healthCheckNodePort",
        "loadBalancerIP",
        "externalTrafficPolicy",
        "externalName",
        "type",
    ):
        if spec.get(field) in ("", 0):
            del spec[field]
    for port in spec.get("ports") or ():
        for field in ("name", "nodePort"):
            if port.get(field) in ("", 0):
                del port[field]


def drop_what_the_type_has_not(spec: Object, old: Object) -> None:
    """After a change of type: what came with the old type and was left as it was goes with it.

    A value that the client changed in the same step stays, and validation will complain about it.
    """
    if needs_cluster_ip(old) and not needs_cluster_ip(spec):
        if _same(spec, old, "clusterIP") and _same(spec, old, "clusterIPs"):
            _drop(spec, "clusterIP", "clusterIPs")
        for field in ("ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            if _same(spec, old, field):
                _drop(spec, field)
    if may_have_node_ports(old) and not may_have_node_ports(spec):
        before = {port.get("nodePort") for port in old.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") in before:
                _drop(port, "nodePort")
    loses_health_check = needs_health_check_node_port(old) and not needs_health_check_node_port(spec)
    if loses_health_check and _same(spec, old, "healthCheckNodePort"):
        _drop(spec, "healthCheckNodePort")
    if old.get("type") == "LoadBalancer" and spec.get("type") != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if _same(spec, old, field):
                _drop(spec, field)
    if is_external(old) and not is_external(spec) and _same(spec, old, "externalTrafficPolicy"):
        _drop(spec, "externalTrafficPolicy")


def keep_allocated(spec: Object, old: Object) -> None:
    """An update that does not mention what was allocated keeps it."""
    if needs_cluster_ip(old) and needs_cluster_ip(spec):
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            for field in ("clusterIP", "clusterIPs"):
                if field in old:
                    spec[field] = old[field]
        elif not spec.get("clusterIPs") and _same(spec, old, "clusterIP"):
            spec["clusterIPs"] = list(old.get("clusterIPs") or ())
    if may_have_node_ports(old) and may_have_node_ports(spec):
        before = {(p.get("protocol"), p["port"]): p.get("nodePort") for p in old.get("ports") or ()}
        given = {port.get("nodePort") for port in spec.get("ports") or ()}
        for port in spec.get("ports") or ():
            had = before.get((port.get("protocol", "TCP"), port.get("port")))
            if had and "nodePort" not in port and had not in given:
                port["nodePort"] = had
    if needs_health_check_node_port(old) and needs_health_check_node_port(spec) and "healthCheckNodePort" in old:
        spec.setdefault("healthCheckNodePort", old["healthCheckNodePort"])


def _same(spec: Object, old: Object, field: str) -> bool:
    return bool(spec.get(field) == old.get(field))


def _drop(part: Object, *fields: str) -> None:
    for field in fields:
        part.pop(field, None)
