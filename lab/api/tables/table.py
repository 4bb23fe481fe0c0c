"""Objects as a Table (meta/v1), which is how `kubectl get` asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.api import registry
from lab.api.errors import Object
from lab.api.registry import Resource
from lab.api.tables import cluster, pods, services, workloads
from lab.api.tables.cells import age


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one kind. `names` has them separated by blanks; ``_`` stands for a blank, ``+`` in front for
    "only in wide tables", ``:integer`` behind for the type."""

    names: str
    row: Callable[[Object, datetime], list[Any]]

    @property
    def definitions(self) -> list[Object]:
        return [_definition(name) for name in self.names.split()]


def _definition(name: str) -> Object:
    title, _, kind = name.removeprefix("+").replace("_", " ").partition(":")
    return {
        "name": title,
        "type": kind or "string",
        "format": "name" if title == "Name" else "",
        "description": title,
        "priority": 1 if name.startswith("+") else 0,
    }


def _name_and_age(obj: Object, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], age(obj["metadata"].get("creationTimestamp"), now)]


_DEFAULT = Columns("Name Age", _name_and_age)
_COLUMNS = {
    registry.PODS: Columns(pods.COLUMNS, pods.pod),
    registry.SERVICES: Columns(services.SERVICE_COLUMNS, services.service),
    registry.ENDPOINTS: Columns(services.ENDPOINTS_COLUMNS, services.endpoints),
    registry.ENDPOINT_SLICES: Columns(services.ENDPOINT_SLICE_COLUMNS, services.endpoint_slice),
    registry.DEPLOYMENTS: Columns(workloads.DEPLOYMENT_COLUMNS, workloads.deployment),
    registry.REPLICA_SETS: Columns(workloads.REPLICA_SET_COLUMNS, workloads.replica_set),
    registry.NODES: Columns(cluster.NODE_COLUMNS, cluster.node),
    registry.NAMESPACES: Columns(cluster.NAMESPACE_COLUMNS, cluster.namespace),
    registry.SERVICE_CIDRS: Columns(cluster.SERVICE_CIDR_COLUMNS, cluster.service_cidr),
    registry.CONFIG_MAPS: Columns(cluster.CONFIG_MAP_COLUMNS, cluster.config_map),
    registry.SERVICE_ACCOUNTS: Columns(cluster.SERVICE_ACCOUNT_COLUMNS, cluster.service_account),
    registry.LEASES: Columns(cluster.LEASE_COLUMNS, cluster.lease),
    registry.CORE_EVENTS: Columns(cluster.EVENT_COLUMNS, cluster.event),
}


def table(
    resource: Resource,
    objects: Sequence[Object],
    now: datetime,
    *,
    metadata: Object,
    include: str = "Metadata",
    headed: bool = True,
) -> Object:
    """These objects as a Table. `include` says what comes along with each row: Metadata, Object or None.

    `headed` is false for all but the first table of a watch.
    """
    columns = _COLUMNS.get(resource, _DEFAULT)
    rows = []
    for obj in objects:
        row: Object = {"cells": columns.row(obj, now)}
        if include == "Object":
            row["object"] = obj
        elif include == "Metadata":
            row["object"] = partial(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns.definitions if headed else None,
        "rows": rows,
    }


def partial(obj: Object) -> Object:
    """The object with nothing but its metadata (``PartialObjectMetadata``)."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
