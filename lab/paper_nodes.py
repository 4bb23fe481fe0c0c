"""The nodes of a cluster on paper: imagined ones, and what a manifest leaves out about its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.api.errors import Object
from lab.cluster.nodes import node_object
from lab.manifests import Manifest
from lab.network.topology import MOST_NODES, cluster_topology


def paper_nodes(count: int) -> list[Object]:
    """The lab's Nodes n1, n2, ..., with addresses, and ready."""
    hosts = [host for host in cluster_topology(count).hosts if host.forwards]
    return [
        {
            **node_object(host, number),
            "status": {
                "addresses": [{"type": "InternalIP", "address": address} for address in host.addresses],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
        for number, host in enumerate(hosts, 1)
    ]


def with_networks(manifests: Iterable[Manifest]) -> list[Manifest]:
    """The manifests, where each Node has addresses and pod CIDRs: those that it says, or those of the lab's next node.

    What is not as it should be in a Node is left for the API server to refuse.
    """
    spare: Sequence[Object] = paper_nodes(MOST_NODES)
    done: list[Manifest] = []
    for manifest in manifests:
        node = manifest.object
        if node["kind"] == "Node" and spare and _is_readable(node) and not _is_complete(node):
            model, *spare = spare
            given, status = node.get("spec") or {}, node.get("status") or {}
            node = node | {"spec": model["spec"] | given, "status": model["status"] | status}
        done.append(Manifest(node, manifest.where))
    return done


def _is_readable(node: Object) -> bool:
    return all(isinstance(node.get(part) or {}, dict) for part in ("spec", "status"))


def _is_complete(node: Object) -> bool:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return bool(status.get("addresses") and (spec.get("podCIDRs") or spec.get("podCIDR")))
