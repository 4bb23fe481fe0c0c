"""The Node objects of a lab: what kubelets and a cloud would have written about the nodes."""

from __future__ import annotations

import os
import platform
from datetime import datetime

from controller.objects import LABEL_ZONE
from dataplane.version import VERSION
from lab.api.errors import Object
from lab.api.registry import NODES
from lab.api.store import Store
from lab.controllers.objects import condition, text_of
from lab.network.topology import Host

PROXY_READY = "ServiceProxyReady"  #: the lab's own condition: whether the node's agent carries out Services

_ZONES = ("za", "zb")  #: nodes are in these by turns
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def node_object(host: Host, number: int) -> Object:
    """The Node of a host that forwards; `number` counts from 1."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": host.name,
            "labels": {
                "kubernetes.io/hostname": host.name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": _ARCHITECTURES.get(platform.machine(), platform.machine()),
                "topology.kubernetes.io/region": "r1",
                LABEL_ZONE: _ZONES[(number - 1) % len(_ZONES)],
            },
        },
        "spec": {"podCIDR": host.pod_cidrs[0], "podCIDRs": list(host.pod_cidrs)},
    }


def node_status(host: Host, now: datetime) -> Object:
    """NodeStatus of a node that has just come up."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    resources = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory}Ki", "pods": "250"}
    return {
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in host.addresses),
            {"type": "Hostname", "address": host.name},
        ],
        "capacity": resources,
        "allocatable": resources,
        "conditions": [
            _condition("NetworkUnavailable", False, "RouteCreated", "the lab has set up the routes to all pods", now),
            _condition("MemoryPressure", False, "KubeletHasSufficientMemory", "the host has memory", now),
            _condition("DiskPressure", False, "KubeletHasNoDiskPressure", "pods of the lab use no disk", now),
            _condition("PIDPressure", False, "KubeletHasSufficientPID", "the host has process ids", now),
            _condition("Ready", True, "KubeletReady", "the lab's kubelet is posting ready status", now),
            _condition(PROXY_READY, False, "Starting", "no agent has reported yet", now),
        ],
        "nodeInfo": {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "bootID": "",
            "machineID": "",
            "systemUUID": "",
            "containerRuntimeVersion": f"svcplane://{VERSION}",
            "kernelVersion": platform.release(),
            "kubeProxyVersion": "",
            "kubeletVersion": f"v{VERSION}+svcplane",
            "operatingSystem": "linux",
            "osImage": "svcplane lab",
        },
    }


def register(store: Store, hosts: tuple[Host, ...], now: datetime) -> None:
    """Create the Nodes of all hosts that forward."""
    for number, host in enumerate((host for host in hosts if host.forwards), 1):
        node = store.create(NODES, node_object(host, number))
        store.update(NODES, node | {"status": node_status(host, now)}, subresource="status")


def set_proxy_condition(store: Store, name: str, ready: bool, reason: str, message: str, now: datetime) -> None:
    """Write how the agent of a node is, if the Node is still there."""
    stored = store.find(NODES, name)
    if stored is None:
        return
    node = stored.object
    old = condition(node, PROXY_READY)
    new = _condition(PROXY_READY, ready, reason, message, now)
    if old is not None and old["status"] == new["status"]:
        new["lastTransitionTime"] = old["lastTransitionTime"]
        if (old["reason"], old["message"]) == (reason, message):
            return
    others = [entry for entry in node["status"]["conditions"] if entry["type"] != PROXY_READY]
    store.update(NODES, node | {"status": node["status"] | {"conditions": [*others, new]}}, subresource="status")


def _condition(kind: str, holds: bool, reason: str, message: str, now: datetime) -> Object:
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": text_of(now),
        "lastTransitionTime": text_of(now),
    }
