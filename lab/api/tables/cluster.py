"""The columns of what makes up the cluster itself: Nodes, Namespaces, ServiceCIDRs, Leases, Events and small things."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lab.api.errors import Object
from lab.api.tables.cells import NONE, UNKNOWN, age

NODE_COLUMNS = "Name Status Roles Age Version +Internal-IP +External-IP +OS-Image +Kernel-Version +Container-Runtime"
NAMESPACE_COLUMNS = "Name Status Age"
SERVICE_CIDR_COLUMNS = "Name CIDRs Age"
CONFIG_MAP_COLUMNS = "Name Data:integer Age"
SERVICE_ACCOUNT_COLUMNS = "Name Secrets:integer Age"
LEASE_COLUMNS = "Name Holder Age"
EVENT_COLUMNS = "Last_Seen Type Reason Object +Subobject +Source Message +First_Seen +Count:integer +Name"
_ROLE = "node-role.kubernetes.io/"


def node(obj: Object, now: datetime) -> list[Any]:
    status, meta = obj.get("status", {}), obj["metadata"]
    info = status.get("nodeInfo", {})
    roles = sorted(key.removeprefix(_ROLE) for key in meta.get("labels") or () if key.startswith(_ROLE))
    return [
        meta["name"],
        _node_status(obj),
        ",".join(role for role in roles if role) or NONE,
        _age(obj, now),
        info.get("kubeletVersion", ""),
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(obj: Object) -> str:
    ready = [c.get("status") for c in obj.get("status", {}).get("conditions") or () if c["type"] == "Ready"]
    word = "Unknown" if not ready else "Ready" if ready[0] == "True" else "NotReady"
    return f"{word},SchedulingDisabled" if obj.get("spec", {}).get("unschedulable") else word


def _address(status: Object, kind: str) -> str:
    return next((a["address"] for a in status.get("addresses") or () if a["type"] == kind), NONE)


def namespace(obj: Object, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], obj.get("status", {}).get("phase", ""), _age(obj, now)]


def service_cidr(obj: Object, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], ",".join(obj.get("spec", {}).get("cidrs") or ()), _age(obj, now)]


def config_map(obj: Object, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], len(obj.get("data", {})) + len(obj.get("binaryData", {})), _age(obj, now)]


def service_account(obj: Object, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], len(obj.get("secrets") or ()), _age(obj, now)]


def lease(obj: Object, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], obj.get("spec", {}).get("holderIdentity", ""), _age(obj, now)]


def event(obj: Object, now: datetime) -> list[Any]:
    about = obj.get("involvedObject", {})
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    last = obj.get("lastTimestamp") or obj.get("series", {}).get("lastObservedTime") or first
    source = obj.get("source", {})
    component = source.get("component") or obj.get("reportingComponent", "")
    return [
        age(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        ", ".join(filter(None, (component, source.get("host") or obj.get("reportingInstance", "")))),
        obj.get("message", "").strip(),
        age(first, now),
        obj.get("count") or obj.get("series", {}).get("count") or 1,
        obj["metadata"]["name"],
    ]


def _age(obj: Object, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)
