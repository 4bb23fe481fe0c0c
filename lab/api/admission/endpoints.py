"""EndpointSlices and Endpoints: which addresses and ports they may hold."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from lab.api.admission import metadata
from lab.api.admission.base import Admission
from lab.api.admission.service_validation import PROTOCOLS, port_number
from lab.api.errors import FieldError, Object, duplicate, invalid, required, too_many, unsupported

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MOST_ENDPOINTS = 1000
MOST_PORTS = 20_000
MOST_ADDRESSES = 100
MOST_ZONES = 8


class EndpointSliceAdmission(Admission):
    def prepare(self, obj: Object, old: Object | None) -> None:
        obj.setdefault("endpoints", [])
        for port in obj.get("ports") or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")

    def validate(self, obj: Object, old: Object | None) -> Iterable[FieldError]:
        kind = obj.get("addressType", "")
        if not kind:
            yield required("addressType")
        elif kind not in ADDRESS_TYPES:
            yield unsupported("addressType", kind, ADDRESS_TYPES)
        if old and kind != old["addressType"]:
            yield invalid("addressType", kind, "field is immutable")
        if len(obj["endpoints"]) > MOST_ENDPOINTS:
            yield too_many("endpoints", len(obj["endpoints"]), MOST_ENDPOINTS)
            return
        for i, endpoint in enumerate(obj["endpoints"]):
            yield from _endpoint(f"endpoints[{i}]", endpoint, kind)
        yield from _ports(obj.get("ports") or [])


def _endpoint(path: str, endpoint: Object, kind: str) -> Iterator[FieldError]:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > MOST_ADDRESSES:
        yield too_many(f"{path}.addresses", len(addresses), MOST_ADDRESSES)
    for i, address in enumerate(addresses):
        here = f"{path}.addresses[{i}]"
        if kind == "FQDN":
            yield from metadata.dns_subdomain(here, address)
        elif kind in ADDRESS_TYPES:
            yield from _address(here, address, kind)
    if "hostname" in endpoint:
        yield from metadata.dns_label(f"{path}.hostname", endpoint["hostname"])
    if "nodeName" in endpoint:
        yield from metadata.dns_subdomain(f"{path}.nodeName", endpoint["nodeName"])
    hints = endpoint.get("hints", {})
    for field, what in (("forZones", "zone"), ("forNodes", "node")):
        entries = hints.get(field) or []
        if len(entries) > MOST_ZONES:
            yield too_many(f"{path}.hints.{field}", len(entries), MOST_ZONES)
        names = [entry.get("name", "") for entry in entries]
        for i, name in enumerate(names):
            here = f"{path}.hints.{field}[{i}].name"
            if name in names[:i]:
                yield duplicate(f"{path}.hints.{field}[{i}]", name)
            if what == "zone":
                yield from metadata.labels(here, {"zone": name})
            else:
                yield from metadata.dns_subdomain(here, name)


def _address(path: str, text: str, kind: str) -> Iterator[FieldError]:
    try:
        address = ipaddress.IPv6Address(text) if kind == "IPv6" else ipaddress.IPv4Address(text)
    except ValueError:
        yield invalid(path, text, f"must be a valid {kind} address")
        return
    if address.is_unspecified:
        yield invalid(path, text, f"may not be unspecified ({address})")
    if address.is_loopback:
        yield invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        yield invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")


def _ports(ports: list[Object]) -> Iterator[FieldError]:
    if len(ports) > MOST_PORTS:
        yield too_many("ports", len(ports), MOST_PORTS)
    names: set[str] = set()
    for i, port in enumerate(ports):
        path = f"ports[{i}]"
        name = port["name"]
        if name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        if name:
            yield from metadata.dns_label(f"{path}.name", name)
        if port["protocol"] not in PROTOCOLS:
            yield unsupported(f"{path}.protocol", port["protocol"], PROTOCOLS)
        if "port" in port:
            yield from port_number(f"{path}.port", port["port"])


class EndpointsAdmission(Admission):
    def prepare(self, obj: Object, old: Object | None) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                port.setdefault("protocol", "TCP")

    def validate(self, obj: Object, old: Object | None) -> Iterable[FieldError]:
        for i, subset in enumerate(obj.get("subsets") or ()):
            path = f"subsets[{i}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                yield required(path, "must specify `addresses` or `notReadyAddresses`")
            for field in ("addresses", "notReadyAddresses"):
                for j, entry in enumerate(subset.get(field) or ()):
                    text = entry.get("ip", "")
                    yield from _address(f"{path}.{field}[{j}].ip", text, "IPv6" if ":" in text else "IPv4")
            ports = subset.get("ports") or []
            for j, port in enumerate(ports):
                here = f"{path}.ports[{j}]"
                if port.get("name"):
                    yield from metadata.dns_label(f"{here}.name", port["name"])
                elif len(ports) > 1:
                    yield required(f"{here}.name")
                yield from port_number(f"{here}.port", port.get("port", 0))
                if port["protocol"] not in PROTOCOLS:
                    yield unsupported(f"{here}.protocol", port["protocol"], PROTOCOLS)
