"""The columns of Deployments and ReplicaSets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lab.api.errors import Object
from lab.api.tables.cells import age, label_selector

DEPLOYMENT_COLUMNS = "Name Ready Up-to-date:integer Available:integer Age +Containers +Images +Selector"
REPLICA_SET_COLUMNS = "Name Desired:integer Current:integer Ready:integer Age +Containers +Images +Selector"


def deployment(obj: Object, now: datetime) -> list[Any]:
    status = obj.get("status", {})
    return [
        obj["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{obj['spec'].get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        *_template(obj, now),
    ]


def replica_set(obj: Object, now: datetime) -> list[Any]:
    status = obj.get("status", {})
    return [
        obj["metadata"]["name"],
        obj["spec"].get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        *_template(obj, now),
    ]


def _template(obj: Object, now: datetime) -> list[str]:
    containers = obj["spec"]["template"]["spec"].get("containers") or []
    return [
        age(obj["metadata"].get("creationTimestamp"), now),
        ",".join(c["name"] for c in containers),
        ",".join(c.get("image", "") for c in containers),
        label_selector(obj["spec"].get("selector")),
    ]
