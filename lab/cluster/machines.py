"""The machines of a lab by the names that people use: ``pod/web-1``, ``node/n1``, ``outside``."""

from __future__ import annotations

from dataplane.errors import InputError
from lab.api.registry import PODS
from lab.cluster.client import ApiClient, RefusedError
from lab.cluster.options import LabOptions
from lab.network.namespace import Namespace
from lab.network.topology import CONTROL_PLANE, OUTSIDE

EXPECTED = "pod/NAME, node/NAME, outside or control-plane"


def find_machine(client: ApiClient, options: LabOptions, target: str, namespace: str = "default") -> Namespace:
    """The machine that `target` names. InputError if there is none, or if it is not there yet."""
    kind, _, name = target.partition("/")
    hosts = {"outside": OUTSIDE, "control-plane": CONTROL_PLANE}
    if not name and kind in hosts:
        return Namespace(options.name, hosts[kind])
    if kind in ("node", "no", "nodes") and name:
        nodes = [host.name for host in options.topology().hosts if host.forwards]
        if name not in nodes:
            raise InputError(f"{target}: no such node, expected one of {', '.join(nodes)}")
        return Namespace(options.name, name)
    if kind in ("pod", "po", "pods") and name:
        return _machine_of_pod(client, options, namespace, name)
    raise InputError(f"{target!r} names no machine: expected {EXPECTED}")


def _machine_of_pod(client: ApiClient, options: LabOptions, namespace: str, name: str) -> Namespace:
    try:
        pod = client.get(PODS, namespace, name)
    except RefusedError as error:
        raise InputError(f"pod/{name}: {error}") from None
    node = pod["spec"].get("nodeName")
    machine = Namespace(options.name, node if node and pod["spec"].get("hostNetwork") else f"{namespace}.{name}")
    if not machine.exists:
        phase = pod.get("status", {}).get("phase", "Pending")
        raise InputError(f"pod/{name}: has no network now (it is {phase}{f' on {node}' if node else ''})")
    return machine
