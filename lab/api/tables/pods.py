"""The columns of Pods: the status above all, which sums up phase, containers and deletion in one word."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lab.api.errors import Object
from lab.api.tables.cells import NONE, age

COLUMNS = "Name Ready Status Restarts Age +IP +Node +Nominated_Node +Readiness_Gates"


def pod(obj: Object, now: datetime) -> list[Any]:
    spec, status, meta = obj.get("spec", {}), obj.get("status", {}), obj["metadata"]
    containers = status.get("containerStatuses") or []
    ready = sum(1 for c in containers if c.get("ready") and "running" in c.get("state", {}))
    gates = spec.get("readinessGates") or []
    true = {c["type"] for c in status.get("conditions") or () if c.get("status") == "True"}
    return [
        meta["name"],
        f"{ready}/{len(spec.get('containers') or ())}",
        pod_status(obj),
        _restarts(containers, now),
        age(meta.get("creationTimestamp"), now),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{sum(g['conditionType'] in true for g in gates)}/{len(gates)}" if gates else NONE,
    ]


def pod_status(obj: Object) -> str:
    """The word in the STATUS column."""
    status = obj.get("status", {})
    word = status.get("reason") or status.get("phase") or "Unknown"
    running = False
    for container in reversed(status.get("containerStatuses") or []):
        state = container.get("state", {})
        waiting, terminated = state.get("waiting", {}), state.get("terminated")
        if waiting.get("reason"):
            word = waiting["reason"]
        elif terminated is not None:
            word = terminated.get("reason") or f"ExitCode:{terminated.get('exitCode', 0)}"
        elif container.get("ready") and "running" in state:
            running = True
    if word == "Completed" and running:
        ready = any(c["type"] == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
        word = "Running" if ready else "NotReady"
    if "deletionTimestamp" in obj["metadata"]:
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return str(word)


def _restarts(containers: list[Object], now: datetime) -> str:
    count = sum(c.get("restartCount", 0) for c in containers)
    ended = [c.get("lastState", {}).get("terminated", {}).get("finishedAt") for c in containers]
    last = max((t for t in ended if t), default=None)
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)
