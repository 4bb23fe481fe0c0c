"""What a pod's status says: a pure function of the pod, its server's state and its probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lab.api.errors import Object
from lab.controllers.objects import condition, text_of


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of the server ended."""

    code: int  #: as the shell says it: 128 + the signal if it was killed by one
    started: datetime
    finished: datetime

    def state(self) -> Object:
        """As a ContainerStateTerminated."""
        return {
            "exitCode": self.code,
            "reason": "Completed" if self.code == 0 else "Error",
            "startedAt": text_of(self.started),
            "finishedAt": text_of(self.finished),
        }


@dataclass(frozen=True, slots=True)
class Server:
    """The state of the one process that stands for all containers of a pod."""

    started: datetime | None = None  #: it runs, since then
    ended: Ended | None = None  #: it has ended, and is not started again
    waiting: str = "ContainerCreating"  #: otherwise: the reason why it does not run yet, or not now
    message: str = ""
    restarts: int = 0
    last: Ended | None = None  #: how the run before this one ended

    def state(self) -> Object:
        """As a ContainerState."""
        if self.ended:
            return {"terminated": self.ended.state()}
        if self.started:
            return {"running": {"startedAt": text_of(self.started)}}
        return {"waiting": {"reason": self.waiting} | ({"message": self.message} if self.message else {})}


def pod_status(
    pod: Object,
    server: Server,
    *,
    ready: Mapping[str, bool],
    started: Mapping[str, bool],
    addresses: Sequence[str],
    host_addresses: Sequence[str],
    since: datetime,
    now: datetime,
) -> Object:
    """PodStatus (core/v1).

    `ready` and `started` tell of each container by name what its probes say, and count only while the server runs.
    `since` is when the kubelet took the pod on; `addresses` is empty as long as it has no network.
    """
    containers = pod["spec"]["containers"]
    runs = server.started is not None and server.ended is None
    unready = [c["name"] for c in containers if not (runs and ready.get(c["name"], False))]
    status: Object = {
        "phase": _phase(server),
        "hostIP": host_addresses[0],
        "hostIPs": [{"ip": address} for address in host_addresses],
        "startTime": text_of(since),
        "conditions": _conditions(pod, bool(addresses), unready, server.ended, now),
        "containerStatuses": [
            _container(pod, container, server, runs and ready.get(container["name"], False), started)
            for container in containers
        ],
        "qosClass": "BestEffort",
    }
    if addresses:
        status["podIP"] = addresses[0]
        status["podIPs"] = [{"ip": address} for address in addresses]
    if pod["spec"].get("initContainers"):
        status["initContainerStatuses"] = [
            _init_container(pod, container, since) for container in pod["spec"]["initContainers"]
        ]
    return status


def _phase(server: Server) -> str:
    if server.ended:
        return "Succeeded" if server.ended.code == 0 else "Failed"
    return "Running" if server.started or server.restarts else "Pending"


def _conditions(
    pod: Object, networked: bool, unready: Sequence[str], ended: Ended | None, now: datetime
) -> list[Object]:
    """PodConditions, each with the time since when it is as it is."""

    def entry(kind: str, holds: bool, reason: str = "", message: str = "") -> Object:
        old = condition(pod, kind)
        status = "True" if holds else "False"
        since = old["lastTransitionTime"] if old and old.get("status") == status else None
        said = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since or text_of(now)}
        if not holds and reason:
            said["reason"] = reason
        if not holds and message:
            said["message"] = message
        return said

    reason = "ContainersNotReady"
    message = f"containers with unready status: [{' '.join(unready)}]"
    if ended and ended.code == 0:
        reason, message = "PodCompleted", ""
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
    closed = [gate for gate in gates if (condition(pod, gate) or {}).get("status") != "True"]
    if unready or not closed:
        is_ready = entry("Ready", not unready, reason, message)
    else:
        message = f'corresponding condition of pod readiness gate "{closed[0]}" does not exist or is not "True".'
        is_ready = entry("Ready", False, "ReadinessGatesNotReady", message)
    ours = [
        entry("PodReadyToStartContainers", networked),
        entry("Initialized", networked),
        is_ready,
        entry("ContainersReady", not unready, reason, message),
        entry("PodScheduled", True),
    ]
    kinds = {said["type"] for said in ours}
    others = [old for old in pod.get("status", {}).get("conditions") or () if old["type"] not in kinds]
    return ours + others


def _container(pod: Object, container: Object, server: Server, ready: bool, started: Mapping[str, bool]) -> Object:
    uid = pod["metadata"]["uid"]
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "svcplane://built-in-server",
        "containerID": f"svcplane://{uid}/{container['name']}",
        "ready": ready,
        "started": server.started is not None and not server.ended and started.get(container["name"], False),
        "restartCount": server.restarts,
        "state": server.state(),
        "lastState": {"terminated": server.last.state()} if server.last else {},
    }


def _init_container(pod: Object, container: Object, since: datetime) -> Object:
    """One that runs beside the others (restartPolicy Always) is a part of the server; another is done at once."""
    done = Ended(0, since, since)
    state = {"running": {"startedAt": text_of(since)}} if is_sidecar(container) else {"terminated": done.state()}
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "svcplane://built-in-server",
        "containerID": f"svcplane://{pod['metadata']['uid']}/{container['name']}",
        "ready": True,
        "started": is_sidecar(container),
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }


def is_sidecar(container: Object) -> bool:
    """Whether an init container goes on beside the others."""
    return bool(container.get("restartPolicy") == "Always")
