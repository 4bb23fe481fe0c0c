"""Every kind that is served: one row each. Routes, discovery, OpenAPI, defaults and tables follow from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lab.api.admission.base import Admission, Surroundings
from lab.api.kinds.meta import kind
from lab.api.schema import ANYTHING, Record


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind, and how it is reached. Compared by identity: the rows below are the only ones."""

    group: str  #: "" for core
    version: str
    kind: str
    plural: str
    shape: Record
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    #: fields besides metadata.name and metadata.namespace that a field selector may name, and what a missing one is
    selectable: Mapping[str, str] = field(default_factory=dict)
    admission: Callable[[Surroundings], Admission] = Admission
    counts_generations: bool = False  #: metadata.generation counts the changes of everything but metadata and status

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def api_version(self) -> str:
        """As in an object's ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As in messages: ``services``, ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def has_status(self) -> bool:
        """Whether status is written apart from the rest, through its own subresource."""
        return "status" in self.subresources


def _open(name: str) -> Record:
    return kind(name, spec=ANYTHING, status=ANYTHING)


NAMESPACES = Resource(
    "",
    "v1",
    "Namespace",
    "namespaces",
    _open("Namespace"),
    namespaced=False,
    short_names=("ns",),
    subresources=("status",),
)
NODES = Resource(
    "",
    "v1",
    "Node",
    "nodes",
    _open("Node"),
    namespaced=False,
    short_names=("no",),
    subresources=("status",),
    selectable={"spec.unschedulable": "false"},
)
PODS = Resource(
    "",
    "v1",
    "Pod",
    "pods",
    _open("Pod"),
    short_names=("po",),
    subresources=("status", "log"),
    selectable={"spec.nodeName": "", "status.phase": "", "status.podIP": ""},
)
SERVICES = Resource(
    "",
    "v1",
    "Service",
    "services",
    _open("Service"),
    short_names=("svc",),
    subresources=("status",),
    selectable={"spec.clusterIP": "", "spec.type": ""},
)
ENDPOINTS = Resource("", "v1", "Endpoints", "endpoints", kind("Endpoints", subsets=ANYTHING), short_names=("ep",))
ENDPOINT_SLICES = Resource(
    "discovery.k8s.io",
    "v1",
    "EndpointSlice",
    "endpointslices",
    kind("EndpointSlice", addressType=ANYTHING, endpoints=ANYTHING, ports=ANYTHING),
    counts_generations=True,
)
CONFIG_MAPS = Resource(
    "",
    "v1",
    "ConfigMap",
    "configmaps",
    kind("ConfigMap", data=ANYTHING, binaryData=ANYTHING, immutable=ANYTHING),
    short_names=("cm",),
)
SERVICE_ACCOUNTS = Resource(
    "", "v1", "ServiceAccount", "serviceaccounts", kind("ServiceAccount", secrets=ANYTHING), short_names=("sa",)
)
DEPLOYMENTS = Resource(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    _open("Deployment"),
    short_names=("deploy",),
    categories=("all",),
    subresources=("status", "scale"),
    counts_generations=True,
)
REPLICA_SETS = Resource(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    _open("ReplicaSet"),
    short_names=("rs",),
    categories=("all",),
    subresources=("status", "scale"),
    counts_generations=True,
)
SERVICE_CIDRS = Resource(
    "networking.k8s.io",
    "v1",
    "ServiceCIDR",
    "servicecidrs",
    _open("ServiceCIDR"),
    namespaced=False,
    subresources=("status",),
)
LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases", _open("Lease"))
EVENTS = Resource("events.k8s.io", "v1", "Event", "events", _open("Event"), short_names=("ev",))
CORE_EVENTS = Resource("", "v1", "Event", "events", _open("CoreEvent"), short_names=("ev",))

RESOURCES = (
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    ENDPOINTS,
    CONFIG_MAPS,
    SERVICE_ACCOUNTS,
    CORE_EVENTS,
    ENDPOINT_SLICES,
    DEPLOYMENTS,
    REPLICA_SETS,
    SERVICE_CIDRS,
    LEASES,
    EVENTS,
)
