"""Which Services are allowed, in the words of the real API server."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from lab.api.admission import metadata
from lab.api.admission.service_type import (
    HEADLESS,
    is_external,
    may_have_node_ports,
    needs_cluster_ip,
    needs_health_check_node_port,
)
from lab.api.errors import FieldError, Object, duplicate, forbidden_field, invalid, required, unsupported

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
TRAFFIC_POLICIES = ("Cluster", "Local")
DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
AFFINITY_LIMIT = 86400  # one day
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def validate_service(obj: Object, old: Object | None) -> Iterator[FieldError]:
    """Everything wrong with a Service but its families and addresses (`service_families`)."""
    spec = obj.get("spec", {})
    if spec.get("type") not in TYPES:
        yield unsupported("spec.type", spec.get("type"), TYPES)
    if spec.get("type") == "ExternalName":
        name = spec.get("externalName", "")
        if name:
            yield from metadata.dns_subdomain("spec.externalName", name.rstrip("."))
        else:
            yield required("spec.externalName")
    elif not spec.get("ports") and spec.get("clusterIP") != HEADLESS:
        yield required("spec.ports")
    yield from _ports(spec)
    yield from metadata.labels("spec.selector", spec.get("selector"))
    yield from _affinity(spec)
    yield from _policies(spec)
    yield from _addresses(spec)
    yield from _load_balancer(spec)
    if old:
        yield from _unchanged(spec, old.get("spec", {}))


def port_number(field: str, number: int) -> Iterator[FieldError]:
    if not 1 <= number <= 65535:
        yield invalid(field, number, "must be between 1 and 65535, inclusive")


def port_name(field: str, name: str) -> Iterator[FieldError]:
    """The name of a container's port, as targetPort may be (RFC 6335)."""
    if len(name) > 15:
        yield invalid(field, name, "must be no more than 15 characters")
    elif not _PORT_NAME.fullmatch(name):
        yield invalid(
            field,
            name,
            "must contain only alphanumeric characters (a-z, 0-9), and hyphens (-), at least one letter (a-z), "
            "and no hyphens at either end or next to each other",
        )


def _ports(spec: Object) -> Iterator[FieldError]:
    ports = spec.get("ports") or []
    for i, port in enumerate(ports):
        path = f"spec.ports[{i}]"
        name = port.get("name", "")
        if name:
            yield from metadata.dns_label(f"{path}.name", name)
        elif len(ports) > 1:
            yield required(f"{path}.name")
        if name and name in (p.get("name") for p in ports[:i]):
            yield duplicate(f"{path}.name", name)
        yield from port_number(f"{path}.port", port.get("port", 0))
        if port["protocol"] not in PROTOCOLS:
            yield unsupported(f"{path}.protocol", port["protocol"], PROTOCOLS)
        target = port.get("targetPort")
        if isinstance(target, str):
            yield from port_name(f"{path}.targetPort", target)
        elif target is not None and port.get("port"):
            yield from port_number(f"{path}.targetPort", target)
        if port.get("appProtocol"):
            yield from metadata.qualified_name(f"{path}.appProtocol", port["appProtocol"])
        same = [p for p in ports[:i] if p["protocol"] == port["protocol"]]
        if port.get("port") in (p.get("port") for p in same):
            yield duplicate(path, {"port": port.get("port"), "protocol": port["protocol"]})
        if port.get("nodePort"):
            if not may_have_node_ports(spec):
                kind = spec.get("type")
                yield forbidden_field(f"{path}.nodePort", f"may not be used when `type` is '{kind}'")
            elif port["nodePort"] in (p.get("nodePort") for p in same):
                yield duplicate(f"{path}.nodePort", port["nodePort"])


def _affinity(spec: Object) -> Iterator[FieldError]:
    if spec["sessionAffinity"] not in ("ClientIP", "None"):
        yield unsupported("spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None"))
    seconds = spec.get("sessionAffinityConfig", {}).get("clientIP", {}).get("timeoutSeconds")
    if seconds is not None and not 0 < seconds <= AFFINITY_LIMIT:
        yield invalid(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            seconds,
            f"must be greater than 0 and less than {AFFINITY_LIMIT}",
        )


def _policies(spec: Object) -> Iterator[FieldError]:
    external = spec.get("externalTrafficPolicy")
    if external is not None and not is_external(spec):
        yield invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services")
    elif external is not None and external not in TRAFFIC_POLICIES:
        yield unsupported("spec.externalTrafficPolicy", external, TRAFFIC_POLICIES)
    internal = spec.get("internalTrafficPolicy")
    if internal is None and needs_cluster_ip(spec):
        yield required("spec.internalTrafficPolicy")
    elif internal is not None and internal not in TRAFFIC_POLICIES:
        yield unsupported("spec.internalTrafficPolicy", internal, TRAFFIC_POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in DISTRIBUTIONS:
        yield unsupported("spec.trafficDistribution", distribution, DISTRIBUTIONS)


def _addresses(spec: Object) -> Iterator[FieldError]:
    for i, text in enumerate(spec.get("externalIPs") or ()):
        path = f"spec.externalIPs[{i}]"
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            yield invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
            continue
        if address.is_unspecified:
            yield invalid(path, text, f"may not be unspecified ({address})")
        if address.is_loopback:
            yield invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
        if address.is_link_local:
            yield invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
        if address.is_multicast and int(address) >> (address.max_prefixlen - 24) in (0xE00000, 0xFF0200):
            yield invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def _load_balancer(spec: Object) -> Iterator[FieldError]:
    is_load_balancer = spec.get("type") == "LoadBalancer"
    for field in ("loadBalancerSourceRanges", "allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if spec.get(field) is not None and not is_load_balancer:
            yield forbidden_field(f"spec.{field}", "may only be used when `type` is 'LoadBalancer'")
    for i, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        path = f"spec.loadBalancerSourceRanges[{i}]"
        try:
            if "/" not in text:
                raise ValueError
            ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            yield invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")
    if spec.get("loadBalancerClass"):
        yield from metadata.qualified_name("spec.loadBalancerClass", spec["loadBalancerClass"])
    if spec.get("healthCheckNodePort") and not needs_health_check_node_port(spec):
        yield invalid(
            "spec.healthCheckNodePort",
            spec["healthCheckNodePort"],
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        )


def _unchanged(spec: Object, old: Object) -> Iterator[FieldError]:
    if needs_health_check_node_port(old) and needs_health_check_node_port(spec):
        number = spec.get("healthCheckNodePort")
        if old.get("healthCheckNodePort") and number != old["healthCheckNodePort"]:
            yield invalid("spec.healthCheckNodePort", number, "field is immutable")
    if old.get("type") == spec.get("type") == "LoadBalancer":
        name = spec.get("loadBalancerClass")
        if old.get("loadBalancerClass") != name:
            yield invalid("spec.loadBalancerClass", name, "may not change once set")
