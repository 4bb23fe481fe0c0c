"""IP families of a Service: one or two, in which order, and the cluster IPs that belong to them.

``ipFamilyPolicy`` says how many: SingleStack, PreferDualStack (two if the cluster has two), RequireDualStack.
``ipFamilies`` says which, the first one being that of ``clusterIP``; ``clusterIPs`` has one address for each.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from lab.api.admission.service_type import HEADLESS, needs_cluster_ip
from lab.api.errors import FieldError, Object, duplicate, forbidden_field, invalid, required, too_many, unsupported

POLICIES = ("SingleStack", "PreferDualStack", "RequireDualStack")
FAMILIES = ("IPv4", "IPv6")


def family_of(address: str) -> str:
    """The family of an address or network; an address that is none counts as IPv4."""
    return "IPv6" if ":" in address else "IPv4"


def sync_cluster_ips(spec: Object, old: Object | None) -> None:
    """``clusterIP`` and the first of ``clusterIPs`` are the same field twice: carry a change of one over."""
    ip, ips = spec.get("clusterIP"), spec.get("clusterIPs")
    if old and ip and ips and ips == old.get("clusterIPs") and ip != old.get("clusterIP"):
        spec["clusterIPs"] = [ip, *ips[1:]]
    elif old and ips and ip == old.get("clusterIP") and ips != old.get("clusterIPs") and ips[0] == HEADLESS:
        spec["clusterIP"] = ips[0]
    elif ip and not ips:
        spec["clusterIPs"] = [ip]


def set_families(spec: Object, old: Object | None, configured: Sequence[str]) -> None:
    """Fill in policy and families. `configured` are the cluster's families, the default one first."""
    if not needs_cluster_ip(spec) or not configured:
        return
    if old:
        _shrink(spec, old)
    ips = spec.get("clusterIPs") or []
    headless = ips[:1] == [HEADLESS]
    anything = headless and not spec.get("selector")
    families = list(spec.get("ipFamilies") or ())
    if "ipFamilyPolicy" not in spec:
        if anything:
            spec["ipFamilyPolicy"] = "RequireDualStack"
        else:
            spec["ipFamilyPolicy"] = "RequireDualStack" if len(families) == 2 or len(ips) == 2 else "SingleStack"
    for ip in ips[len(families) :]:
        if ip != HEADLESS and _is_address(ip):
            families.append(family_of(ip))
    if not families:
        families = [configured[0]]
    if len(families) == 1 and spec["ipFamilyPolicy"] != "SingleStack" and (anything or len(configured) == 2):
        families += [family for family in FAMILIES if family != families[0]]
    spec["ipFamilies"] = families


def _shrink(spec: Object, old: Object) -> None:
    """From two families to one, by the policy alone: the second address goes."""
    if spec.get("ipFamilyPolicy") != "SingleStack" or old.get("ipFamilyPolicy") == "SingleStack":
        return
    for field in ("ipFamilies", "clusterIPs"):
        if len(spec.get(field) or ()) == 2 and spec[field] == old.get(field):
            spec[field] = spec[field][:1]


def validate_families(spec: Object, old: Object | None, configured: Sequence[str]) -> Iterator[FieldError]:
    ips, families, policy = spec.get("clusterIPs") or [], spec.get("ipFamilies") or [], spec.get("ipFamilyPolicy")
    if not needs_cluster_ip(spec):
        for field, value in (("clusterIPs", ips), ("ipFamilies", families), ("ipFamilyPolicy", policy)):
            if value:
                yield forbidden_field(f"spec.{field}", "may not be set for ExternalName services")
        return
    if policy not in POLICIES:
        yield unsupported("spec.ipFamilyPolicy", policy, sorted(POLICIES))
    yield from _families(spec, families, configured)
    yield from _addresses(spec, ips, families)
    if old and needs_cluster_ip(old):
        yield from _unchanged(spec, old)


def _families(spec: Object, families: list[str], configured: Sequence[str]) -> Iterator[FieldError]:
    path = "spec.ipFamilies"
    headless_any = spec.get("clusterIP") == HEADLESS and not spec.get("selector")
    if len(families) > 2:
        yield too_many(path, len(families), 2)
    for i, family in enumerate(families):
        if family not in FAMILIES:
            yield unsupported(f"{path}[{i}]", family, FAMILIES)
        elif family in families[:i]:
            yield duplicate(f"{path}[{i}]", family)
        elif family not in configured and not headless_any:
            yield invalid(f"{path}[{i}]", family, "not configured on this cluster")
    policy = spec.get("ipFamilyPolicy")
    if policy == "SingleStack" and len(families) == 2:
        yield invalid(
            "spec.ipFamilyPolicy",
            policy,
            "must be RequireDualStack or PreferDualStack when multiple IP families are specified",
        )
    if policy == "RequireDualStack" and len(configured) < 2 and not headless_any:
        yield invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")


def _addresses(spec: Object, ips: list[str], families: list[str]) -> Iterator[FieldError]:
    path = "spec.clusterIPs"
    if ips and not spec.get("clusterIP"):
        yield required("spec.clusterIP", "must be set when `clusterIPs` is specified")
        return
    if len(ips) > 2:
        yield too_many(path, len(ips), 2)
    if HEADLESS in ips:
        if len(ips) > 1:
            yield invalid(path, ips, "'None' must be the first and only value")
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            yield invalid(f"{path}[0]", HEADLESS, f"may not be set to 'None' for {spec['type']} services")
        return
    if ips and ips[0] != spec["clusterIP"]:
        yield invalid(path, ips, "first value must match `clusterIP`")
    if len(ips) == 2 and spec.get("ipFamilyPolicy") == "SingleStack":
        yield invalid(
            "spec.ipFamilyPolicy",
            "SingleStack",
            "must be RequireDualStack or PreferDualStack when multiple IPs are specified",
        )
    for i, ip in enumerate(ips):
        if not _is_address(ip):
            yield invalid(f"{path}[{i}]", ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
        elif i < len(families) and family_of(ip) != families[i]:
            yield invalid(f"{path}[{i}]", ip, f"expected an {families[i]} value as indicated by `ipFamilies[{i}]`")
    if len(ips) == 2 and family_of(ips[0]) == family_of(ips[1]):
        yield invalid(path, ips, "may specify no more than one IP for each IP family")


def _unchanged(spec: Object, old: Object) -> Iterator[FieldError]:
    """The first family and address stay for life; the second one can come and go, but not change."""
    ips, before = spec.get("clusterIPs") or [], old.get("clusterIPs") or []
    for i, ip in enumerate(before):
        if i < len(ips) and ips[i] != ip:
            yield invalid(f"spec.clusterIPs[{i}]", ips, "may not change once set")
        elif i >= len(ips) and i == 0:
            yield invalid("spec.clusterIPs[0]", ips, "primary clusterIP can not be unset")
        elif i >= len(ips) and spec.get("ipFamilyPolicy") != "SingleStack":
            yield invalid("spec.clusterIPs[1]", ips, "secondary clusterIP can not be unset while it is dual-stack")
    families, had = spec.get("ipFamilies") or [], old.get("ipFamilies") or []
    if before != [HEADLESS] or old.get("selector"):
        for i, (family, was) in enumerate(zip(families, had, strict=False)):
            if family != was:
                yield invalid(f"spec.ipFamilies[{i}]", families, "may not change once set")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
