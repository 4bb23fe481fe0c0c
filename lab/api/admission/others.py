"""Kinds with only a little of their own: Namespace, Node, ServiceCIDR, ConfigMap."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from lab.api.admission.base import Admission
from lab.api.errors import FieldError, Object, forbidden_field, invalid, required, too_many

KEPT_NAMESPACES = ("default", "kube-system", "kube-public")


class NamespaceAdmission(Admission):
    def prepare(self, obj: Object, old: Object | None) -> None:
        name = obj["metadata"].get("name", "")
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
        obj.setdefault("spec", {})["finalizers"] = ["kubernetes"]
        if old is None:
            obj["status"] = {"phase": "Active"}

    def why_not_deleted(self, obj: Object) -> str:
        return "this namespace may not be deleted" if obj["metadata"]["name"] in KEPT_NAMESPACES else ""


class NodeAdmission(Admission):
    status_at_creation = True

    def prepare(self, obj: Object, old: Object | None) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("podCIDR") and not spec.get("podCIDRs"):
            spec["podCIDRs"] = [spec["podCIDR"]]
        elif spec.get("podCIDRs"):
            spec["podCIDR"] = spec["podCIDRs"][0]

    def validate(self, obj: Object, old: Object | None) -> Iterable[FieldError]:
        spec = obj["spec"]
        for i, text in enumerate(spec.get("podCIDRs") or ()):
            if not _is_network(text):
                yield invalid(f"spec.podCIDRs[{i}]", text, "must be a valid CIDR value")
        if old and old["spec"].get("podCIDRs") and spec.get("podCIDRs") != old["spec"]["podCIDRs"]:
            yield forbidden_field("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')


class ServiceCIDRAdmission(Admission):
    def prepare(self, obj: Object, old: Object | None) -> None:
        obj.setdefault("spec", {})
        if old is None:
            ready = {"type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready"}
            ready["lastTransitionTime"] = obj["metadata"]["creationTimestamp"]
            obj["status"] = {"conditions": [ready]}

    def validate(self, obj: Object, old: Object | None) -> Iterable[FieldError]:
        cidrs = obj["spec"].get("cidrs") or []
        if not cidrs:
            yield required("spec.cidrs", "at least one CIDR required")
        if len(cidrs) > 2:
            yield too_many("spec.cidrs", len(cidrs), 2)
        for i, text in enumerate(cidrs):
            if not _is_network(text):
                yield invalid(
                    f"spec.cidrs[{i}]", text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
                )
        if len(cidrs) == 2 and (":" in cidrs[0]) == (":" in cidrs[1]):
            yield invalid(
                "spec.cidrs",
                cidrs,
                "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/96",
            )
        if old and obj["spec"] != old["spec"]:
            yield invalid("spec.cidrs", cidrs, "field is immutable")


class ConfigMapAdmission(Admission):
    def validate(self, obj: Object, old: Object | None) -> Iterable[FieldError]:
        for field in ("data", "binaryData"):
            for key in obj.get(field) or ():
                if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key):
                    yield invalid(
                        f"{field}[{key}]",
                        key,
                        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                    )
        if old and old.get("immutable"):
            for field in ("data", "binaryData", "immutable"):
                if obj.get(field) != old.get(field):
                    yield forbidden_field(field, "field is immutable when `immutable` is set")


def _is_network(text: str) -> bool:
    try:
        return "/" in text and bool(ipaddress.ip_network(text))
    except ValueError:
        return False
