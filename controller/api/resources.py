"""The four kinds of objects that a node's dataplane follows, each with the filters that the API server applies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from controller.objects import (
    LABEL_HEADLESS,
    LABEL_PROXY_NAME,
    EndpointSlice,
    Node,
    Object,
    Service,
    ServiceCIDR,
)

T = TypeVar("T", bound=Object)


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """A collection of the API, in all namespaces.

    `path` is its URL path, `kind` what its objects are decoded to. An object that the selectors exclude does not
    exist for us: when it comes to match, the server says ADDED, and DELETED when it ceases to. `optional` says that
    the API server, or the role that we have there, may be too old to have it.
    """

    path: str
    kind: type[T]
    label_selector: str = ""
    field_selector: str = ""
    optional: bool = False

    @property
    def name(self) -> str:
        """As in RBAC rules and URLs: ``services``."""
        return self.path.rpartition("/")[2]

    @property
    def selectors(self) -> dict[str, str]:
        """The query parameters that select."""
        given = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: value for name, value in given.items() if value}


#: Without those that another proxy serves (the label says so), and without headless ones.
SERVICES = Resource("/api/v1/services", Service, f"!{LABEL_PROXY_NAME}", "spec.clusterIP!=None")

ENDPOINT_SLICES = Resource("/apis/discovery.k8s.io/v1/endpointslices", EndpointSlice, f"!{LABEL_HEADLESS}")

#: Generally available since Kubernetes 1.33.
SERVICE_CIDRS = Resource("/apis/networking.k8s.io/v1/servicecidrs", ServiceCIDR, optional=True)


def own_node(name: str) -> Resource[Node]:
    """Only the node that we run on."""
    return Resource("/api/v1/nodes", Node, field_selector=f"metadata.name={name}")
