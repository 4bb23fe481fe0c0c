"""Every kind that is served: one row each. Routes, discovery, OpenAPI, defaults and tables follow from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lab.api.admission.base import Admission, Surroundings
from lab.api.admission.endpoints import EndpointsAdmission, EndpointSliceAdmission
from lab.api.admission.others import ConfigMapAdmission, NamespaceAdmission, NodeAdmission, ServiceCIDRAdmission
from lab.api.admission.pod import PodAdmission
from lab.api.admission.service import ServiceAdmission
from lab.api.admission.workloads import DeploymentAdmission, ReplicaSetAdmission
from lab.api.kinds import apps, core, discovery, others, pod, service
from lab.api.schema import Record


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
    most: int = 0  #: how many there may be before the oldest one goes; 0: as many as there are
    #: the same objects as those of another resource, under other field names (`lab.api.renaming`); over HTTP only
    view_of: Resource | None = None
    renames: Mapping[str, str] = field(default_factory=dict)  #: for a view: its name of a field → the stored one

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

    @property
    def stored(self) -> Resource:
        """The resource under which the store keeps its objects."""
        return self.view_of or self

    @property
    def fields(self) -> Mapping[str, str]:
        """All fields that a field selector may name, and what a missing one counts as."""
        return {"metadata.name": "", "metadata.namespace": ""} | dict(self.selectable)


def _fields(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "")


NAMESPACES = Resource(
    "",
    "v1",
    "Namespace",
    "namespaces",
    core.NAMESPACE,
    namespaced=False,
    short_names=("ns",),
    subresources=("status",),
    selectable=_fields("status.phase"),
    admission=NamespaceAdmission,
)
NODES = Resource(
    "",
    "v1",
    "Node",
    "nodes",
    core.NODE,
    namespaced=False,
    short_names=("no",),
    subresources=("status",),
    selectable={"spec.unschedulable": "false"},
    admission=NodeAdmission,
)
PODS = Resource(
    "",
    "v1",
    "Pod",
    "pods",
    pod.POD,
    short_names=("po",),
    categories=("all",),
    subresources=("status", "log"),
    selectable=_fields("spec.nodeName spec.restartPolicy spec.schedulerName status.phase status.podIP"),
    admission=PodAdmission,
)
SERVICES = Resource(
    "",
    "v1",
    "Service",
    "services",
    service.SERVICE,
    short_names=("svc",),
    categories=("all",),
    subresources=("status",),
    selectable=_fields("spec.clusterIP spec.type"),
    admission=ServiceAdmission,
)
ENDPOINTS = Resource(
    "", "v1", "Endpoints", "endpoints", service.ENDPOINTS, short_names=("ep",), admission=EndpointsAdmission
)
CONFIG_MAPS = Resource(
    "", "v1", "ConfigMap", "configmaps", core.CONFIG_MAP, short_names=("cm",), admission=ConfigMapAdmission
)
SERVICE_ACCOUNTS = Resource("", "v1", "ServiceAccount", "serviceaccounts", core.SERVICE_ACCOUNT, short_names=("sa",))
CORE_EVENTS = Resource(
    "",
    "v1",
    "Event",
    "events",
    others.CORE_EVENT,
    short_names=("ev",),
    selectable=_fields(
        "involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid"
        " involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath"
        " reason reportingComponent source type"
    ),
    most=5000,
)
ENDPOINT_SLICES = Resource(
    "discovery.k8s.io",
    "v1",
    "EndpointSlice",
    "endpointslices",
    discovery.ENDPOINT_SLICE,
    admission=EndpointSliceAdmission,
    counts_generations=True,
)
DEPLOYMENTS = Resource(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    apps.DEPLOYMENT,
    short_names=("deploy",),
    categories=("all",),
    subresources=("status", "scale"),
    admission=DeploymentAdmission,
    counts_generations=True,
)
REPLICA_SETS = Resource(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    apps.REPLICA_SET,
    short_names=("rs",),
    categories=("all",),
    subresources=("status", "scale"),
    selectable={"status.replicas": "0"},
    admission=ReplicaSetAdmission,
    counts_generations=True,
)
SERVICE_CIDRS = Resource(
    "networking.k8s.io",
    "v1",
    "ServiceCIDR",
    "servicecidrs",
    others.SERVICE_CIDR,
    namespaced=False,
    subresources=("status",),
    admission=ServiceCIDRAdmission,
)
LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases", others.LEASE)
EVENTS = Resource(
    "events.k8s.io",
    "v1",
    "Event",
    "events",
    others.EVENT,
    short_names=("ev",),
    selectable=_fields("regarding.kind regarding.namespace regarding.name reason type reportingController"),
    view_of=CORE_EVENTS,
    renames={
        "regarding": "involvedObject",
        "note": "message",
        "reportingController": "reportingComponent",
        "deprecatedSource": "source",
        "deprecatedFirstTimestamp": "firstTimestamp",
        "deprecatedLastTimestamp": "lastTimestamp",
        "deprecatedCount": "count",
    },
)

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
