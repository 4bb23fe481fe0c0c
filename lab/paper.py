"""A cluster on paper: what manifests would become, without a network, a process or root.

The store, the scheduler and the controllers are those of the lab. Only the kubelet is imagined: every pod that is
bound to a node runs at once, with an address of that node, and is ready unless it was named as not ready. The same
manifests and the same seed always give the same cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from controller.cluster import Cluster
from controller.objects import EndpointSlice, Service
from dataplane.errors import InputError
from lab.api.decoding import decoded
from lab.api.errors import ApiError, Object
from lab.api.registry import ENDPOINT_SLICES, NAMESPACES, NODES, PODS, SERVICE_CIDRS, SERVICES
from lab.api.store import Store
from lab.cluster.kinds import resource_of
from lab.controllers import all_controllers
from lab.controllers.collection import Change
from lab.controllers.objects import Key, is_going, key_of
from lab.controllers.runner import Controller, Runner
from lab.controllers.view import View
from lab.kubelet.addresses import AddressPool
from lab.kubelet.status import Server, pod_status
from lab.manifests import Manifest, once
from lab.network.topology import SERVICE_CIDRS as SERVICE_NETWORKS
from lab.paper_nodes import paper_nodes, with_networks
from lab.recording import Recording, is_recorded, not_ready, without_owners

#: No clock runs on paper. Everything happened at this moment.
_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


#: Of one workload. Thousands of pods take minutes and explain nothing more; a node has addresses for some 250.
_MOST_REPLICAS = 1000

#: Kinds that others need, so their place in the manifests does not matter.
_FIRST = ("Namespace", "Node", "ServiceCIDR")


class PaperCluster:
    """The objects that the manifests lead to. Where they bring no Node, there are `nodes` of them: n1, n2, ...

    Manifests may also be what ``kubectl get -o yaml`` says about a running cluster (see `lab.recording`).

    `not_ready` names pods (``NAME`` or ``NAMESPACE/NAME``) whose readiness probe fails. `service_networks` is where
    cluster IPs come from; a ServiceCIDR called ``kubernetes`` in the manifests takes its place. Raises InputError for
    manifests that an API server would refuse, and for two that differ about one object.
    """

    def __init__(
        self,
        manifests: Sequence[Manifest],
        *,
        nodes: int = 2,
        seed: int = 0,
        not_ready: Iterable[str] = (),
        service_networks: Sequence[str] = SERVICE_NETWORKS,
    ) -> None:
        self._store = Store(seed=seed, clock=lambda: _MOMENT, service_networks=service_networks)
        self._from_the_start = {
            (resource, obj["metadata"]["name"])
            for resource in (NAMESPACES, SERVICE_CIDRS)
            for obj in self._store.list(resource)[0]
        }
        self._recording = Recording()
        if not any(m.object["kind"] == "Node" for m in manifests):
            for node in paper_nodes(nodes):
                self._store.create(NODES, node)
                self._store.update(NODES, node, subresource="status")
        complete = with_networks(once(manifests))
        for manifest in sorted(complete, key=lambda m: m.object["kind"] not in _FIRST):
            self._add(manifest)
        for resource, key, references in self._recording.owners():
            self._store.patch(resource, key.namespace, key.name, {"metadata": {"ownerReferences": references}})
        refused = _PodNames(not_ready)

        def controllers(store: Store, view: View) -> Sequence[Controller]:
            return (*all_controllers(store, view, lambda: _MOMENT), _PaperKubelet(store, view, refused))

        Runner(self._store, controllers).settle()
        self._slices = self._recording.endpoint_slices(self._store.list(ENDPOINT_SLICES)[0], refused)
        refused.check()

    def known(self) -> Cluster:
        """The Services and slices as an agent knows them."""
        known = Cluster(lambda: None)
        services = [msgspec.convert(o, Service) for o in self.services()]
        slices = [msgspec.convert(o, EndpointSlice) for o in self.endpoint_slices()]
        known.services.replace({o.metadata.key: o for o in services})
        known.slices.replace({o.metadata.key: o for o in slices})
        return known

    def services(self) -> list[Object]:
        return self._store.list(SERVICES)[0]

    def endpoint_slices(self) -> list[Object]:
        return self._slices

    def nodes(self) -> list[Object]:
        return self._store.list(NODES)[0]

    def pods(self) -> list[Object]:
        return self._store.list(PODS)[0]

    def service_networks(self) -> frozenset[str]:
        """The networks of all ServiceCIDRs."""
        return frozenset(text for cidr in self._store.list(SERVICE_CIDRS)[0] for text in cidr["spec"]["cidrs"])

    def _add(self, manifest: Manifest) -> None:
        resource = resource_of(manifest.object, manifest.where)
        recorded = is_recorded(manifest.object)
        try:
            # A cluster of another version may have fields that are not known here; a person's are mistakes.
            given = decoded(resource, manifest.object, unknown=[] if recorded else None)
            name, namespace = given["metadata"].get("name", ""), given["metadata"].get("namespace", "default")
            replicas = (given.get("spec") or {}).get("replicas") or 0
            if replicas > _MOST_REPLICAS:
                raise InputError(
                    f"{manifest.where}: spec.replicas is {replicas} (expected at most {_MOST_REPLICAS} here)"
                )
            if (resource, name) in self._from_the_start:
                # What every cluster has, and the manifest says how it is in this one. Of a namespace nothing matters.
                if resource is NAMESPACES:
                    return
                self._from_the_start.remove((resource, name))
                self._store.delete(resource, "", name)
            if resource.namespaced:
                self._require_namespace(namespace)
            stored = self._store.create(resource, without_owners(given) if recorded else given)
            if resource.has_status and given.get("status"):
                # In a cluster somebody else says how things are; on paper only the manifest can.
                told: dict[str, Any] = {**stored, "status": given["status"]}
                stored = self._store.update(resource, told, subresource="status")
            self._recording.note(resource, given, stored)
        except ApiError as error:
            raise InputError(f"{manifest.where}: {error}") from error

    def _require_namespace(self, name: str) -> None:
        try:
            self._store.get(NAMESPACES, "", name)
        except ApiError:
            self._store.create(NAMESPACES, {"metadata": {"name": name}})


class _PodNames:
    """Names that a person gave for pods, and which of them were met."""

    def __init__(self, names: Iterable[str]) -> None:
        self._unmet = set(names)
        self._names = frozenset(self._unmet)

    def __contains__(self, key: object) -> bool:
        assert isinstance(key, Key)
        spellings = {key.name, f"{key.namespace}/{key.name}"}
        self._unmet -= spellings
        return bool(self._names & spellings)

    def check(self) -> None:
        if self._unmet:
            raise InputError(f"--not-ready: there is no pod {' or '.join(sorted(self._unmet))}")


class _PaperKubelet:
    """The kubelets of all nodes: what they would write into a pod's status."""

    name = "kubelet"

    def __init__(self, store: Store, view: View, not_ready: _PodNames) -> None:
        self._store = store
        self._view = view
        self._not_ready = not_ready
        self._pools: dict[str, AddressPool] = {}

    def concerned(self, change: Change) -> Iterable[Key]:
        if change.resource is PODS and change.new is not None:
            yield key_of(change.new)

    def reconcile(self, key: Key) -> None:
        pod = self._view.pods.get(key)
        if pod is None or is_going(pod) or not pod["spec"].get("nodeName"):
            return
        if pod.get("status", {}).get("podIP"):
            if key in self._not_ready:
                self._store.update(PODS, not_ready(pod), subresource="status")
            return
        node = self._view.nodes_by_name().get(pod["spec"]["nodeName"])
        listed = node.get("status", {}).get("addresses") or () if node is not None else ()
        host_addresses = [a["address"] for a in listed if a["type"] == "InternalIP"]
        if node is None or not host_addresses:
            return
        addresses = host_addresses if pod["spec"].get("hostNetwork") else self._take_addresses(node)
        ready = key not in self._not_ready
        containers = {container["name"]: ready for container in pod["spec"]["containers"]}
        status = pod_status(
            pod,
            Server(started=_MOMENT),
            ready=containers,
            started=dict.fromkeys(containers, True),
            addresses=addresses,
            host_addresses=host_addresses,
            since=_MOMENT,
            now=_MOMENT,
        )
        self._store.update(PODS, {**pod, "status": status}, subresource="status")

    def _take_addresses(self, node: Object) -> Sequence[str]:
        name = node["metadata"]["name"]
        if name not in self._pools:
            spec = node["spec"]
            self._pools[name] = AddressPool(spec.get("podCIDRs") or [spec["podCIDR"]])
        return self._pools[name].take()
