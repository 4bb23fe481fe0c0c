"""Kubernetes objects in, n1's ForwardingTable out: the controller without an API server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from conformance.cases import Case, Step
from conformance.setting import CLUSTER_CIDRS, INTERFACE_ADDRESSES, SERVICE_CIDRS, node_object
from controller.cluster import Cluster, Collection
from controller.compiler import Compiler, ServiceKey
from controller.health_check import HealthCheck
from controller.node import NodeOptions, check_options, node_view
from controller.objects import EndpointSlice, Service
from dataplane.table import ForwardingTable

_NAMESPACE = "default"


class ControlPlane:
    """What a case's steps have made so far."""

    def __init__(self, case: Case, defaults: Mapping[str, Any] | None = None) -> None:
        """`defaults` are options of the node that the case may override."""
        given = {"name": "n1", "cluster_cidrs": CLUSTER_CIDRS, **(defaults or {}), **case.options}
        options = check_options(msgspec.convert(given, NodeOptions))
        self._view = node_view(options, node_object(case.node_zone), INTERFACE_ADDRESSES)
        self._cluster = Cluster(lambda: None)
        self._cluster.service_cidrs.change(SERVICE_CIDRS.metadata.key, SERVICE_CIDRS)
        self._compiler = Compiler(self._view)

    def take(self, step: Step) -> ForwardingTable:
        """Make and delete what the step says; returns the table that follows."""
        for raw in step.apply:
            self._apply(raw)
        for reference in step.delete:
            kind, _, name = reference.partition("/")
            collections: dict[str, Collection[Any]] = {
                "services": self._cluster.services,
                "endpointslices": self._cluster.slices,
            }
            assert (_NAMESPACE, name) in collections[kind].objects, f"the case deletes {reference}, which is not there"
            collections[kind].change((_NAMESPACE, name), None)
        return self._compiler.update(self._cluster.take_changes(), self._view, self._cluster.networks())

    @property
    def health_checks(self) -> Mapping[ServiceKey, tuple[HealthCheck, ...]]:
        """What n1 answers at health check ports."""
        return self._compiler.health_checks

    def _apply(self, raw: dict[str, Any]) -> None:
        plain = {key: value for key, value in raw.items() if not key.startswith("_")}
        plain["metadata"] = {"namespace": _NAMESPACE, **raw["metadata"]}
        if raw["kind"] == "Service":
            # Status is a subresource: writing a Service leaves it as it is.
            known = self._cluster.services.objects.get((_NAMESPACE, raw["metadata"]["name"]))
            status = raw.get("_status", msgspec.to_builtins(known.status) if known else None)
            service = msgspec.convert({**plain, "status": status}, Service)
            self._cluster.services.change(service.metadata.key, service)
        else:
            piece = msgspec.convert(plain, EndpointSlice)
            self._cluster.slices.change(piece.metadata.key, piece)
