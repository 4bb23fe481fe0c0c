"""What is served, for clients to find out: groups, versions, resources, verbs. All from the registry.

Two forms: the classic one, document by document, and the aggregated one (apidiscovery.k8s.io) in two documents.
"""

from __future__ import annotations

from collections.abc import Iterator

from lab.api.errors import Object
from lab.api.registry import RESOURCES, Resource

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_SUBRESOURCE_VERBS = {"log": ["get"]}
_SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}


def group_versions() -> dict[str, list[str]]:
    """Every group with its versions, core ("") first."""
    found: dict[str, list[str]] = {}
    for resource in RESOURCES:
        versions = found.setdefault(resource.group, [])
        if resource.version not in versions:
            versions.append(resource.version)
    return found


def core_versions(address: str) -> Object:
    """``/api``."""
    return {
        "kind": "APIVersions",
        "versions": group_versions()[""],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list() -> Object:
    """``/apis``."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(name) for name in group_versions() if name]}


def group(name: str) -> Object:
    """``/apis/GROUP``. KeyError if there is none."""
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in group_versions()[name]]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": versions, "preferredVersion": versions[0]}


def resource_list(group_name: str, version: str) -> Object | None:
    """``/api/v1`` or ``/apis/GROUP/VERSION``; None if there is none."""
    resources = [r for r in RESOURCES if (r.group, r.version) == (group_name, version)]
    if not resources:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": resources[0].api_version,
        "resources": [entry for resource in resources for entry in _entries(resource)],
    }


def _entries(resource: Resource) -> Iterator[Object]:
    entry: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": VERBS,
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    yield entry
    for name in resource.subresources:
        part: Object = {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": _SUBRESOURCE_VERBS.get(name, ["get", "patch", "update"]),
        }
        yield part | _SCALE if name == "scale" else part


def aggregated(core: bool, version: str) -> Object:
    """``/api`` or ``/apis`` as one ``APIGroupDiscoveryList`` (apidiscovery.k8s.io, `version` v2 or v2beta1)."""
    groups = []
    for name, versions in group_versions().items():
        if bool(name) is not core:
            groups.append(
                {
                    "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
                    "versions": [
                        {
                            "version": v,
                            "freshness": "Current",
                            "resources": [_aggregated(r) for r in RESOURCES if (r.group, r.version) == (name, v)],
                        }
                        for v in versions
                    ],
                }
            )
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": groups,
    }


def _aggregated(resource: Resource) -> Object:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: Object = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": VERBS,
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": _SCALE if name == "scale" else kind,
                "verbs": _SUBRESOURCE_VERBS.get(name, ["get", "patch", "update"]),
            }
            for name in resource.subresources
        ]
    return entry
