"""All that controllers look at: one collection per resource, indexed by what they ask for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator

from controller.objects import LABEL_SERVICE_NAME
from lab.api.errors import Object
from lab.api.registry import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    Resource,
)
from lab.api.selectors import Selector
from lab.api.store import Store
from lab.controllers.collection import Change, Collection, Index
from lab.controllers.objects import controller_of, labels_of


def _labels(obj: Object) -> Iterator[Hashable]:
    """Every label, with the namespace."""
    for label in labels_of(obj).items():
        yield (obj["metadata"]["namespace"], *label)


def _selector(service: Object) -> Iterator[Hashable]:
    """One label that every pod of the Service has; which one does not matter."""
    selector = service["spec"].get("selector")
    if selector:
        yield (service["metadata"]["namespace"], *min(selector.items()))


def _owner(obj: Object) -> Iterator[Hashable]:
    reference = controller_of(obj)
    if reference:
        yield reference["uid"]


def _without_owner(obj: Object) -> Iterator[Hashable]:
    if not controller_of(obj):
        yield obj["metadata"]["namespace"]


def _service_of_slice(endpoint_slice: Object) -> Iterator[Hashable]:
    name = labels_of(endpoint_slice).get(LABEL_SERVICE_NAME)
    if name:
        yield (endpoint_slice["metadata"]["namespace"], name)


def _node_name(pod: Object) -> Iterable[Hashable]:
    return (pod["spec"].get("nodeName") or "",)


def _namespace(obj: Object) -> Iterable[Hashable]:
    return (obj["metadata"]["namespace"],)


_INDEXES: dict[Resource, dict[str, Index]] = {
    NODES: {},
    PODS: {"label": _labels, "owner": _owner, "unowned": _without_owner, "node": _node_name},
    SERVICES: {"selector": _selector},
    ENDPOINT_SLICES: {"service": _service_of_slice},
    ENDPOINTS: {},
    DEPLOYMENTS: {"namespace": _namespace},
    REPLICA_SETS: {"owner": _owner, "unowned": _without_owner, "namespace": _namespace},
}


class View:
    """The cluster as it is at this moment. `on_change` hears of every change, also of what exists at the start."""

    def __init__(self, store: Store, on_change: Callable[[Change], None]) -> None:
        def follow(resource: Resource) -> Collection:
            return Collection(store, resource, _INDEXES[resource], on_change)

        self.nodes = follow(NODES)
        self.pods = follow(PODS)
        self.services = follow(SERVICES)
        self.endpoint_slices = follow(ENDPOINT_SLICES)
        self.endpoints = follow(ENDPOINTS)
        self.deployments = follow(DEPLOYMENTS)
        self.replica_sets = follow(REPLICA_SETS)
        self.collections = (
            self.nodes,
            self.pods,
            self.services,
            self.endpoint_slices,
            self.endpoints,
            self.deployments,
            self.replica_sets,
        )

    def nodes_by_name(self) -> dict[str, Object]:
        return {node["metadata"]["name"]: node for node in self.nodes.all()}

    def pods_with(self, namespace: str, labels: dict[str, str]) -> list[Object]:
        """The pods of this namespace that have all these labels (at least one), by name."""
        found = min((self.pods.where("label", (namespace, *label)) for label in labels.items()), key=len)
        selector = Selector.of(labels)
        return sorted(filter(selector.matches_object, found), key=_name)

    def services_selecting(self, pod: Object) -> list[Object]:
        """The Services whose selector matches this pod."""
        namespace, labels = pod["metadata"]["namespace"], labels_of(pod)
        return [
            service
            for label in labels.items()
            for service in self.services.where("selector", (namespace, *label))
            if service["spec"]["selector"].items() <= labels.items()
        ]


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])
