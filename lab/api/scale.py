"""The /scale subresource: a Deployment or ReplicaSet seen as nothing but a number of replicas (autoscaling/v1)."""

from __future__ import annotations

from lab.api.errors import Object, bad_request
from lab.api.kinds.apps import SCALE
from lab.api.schema import Decoder, WrongType, copied


def scale_of(obj: Object) -> Object:
    """The Scale of a Deployment or ReplicaSet."""
    meta, spec = obj["metadata"], obj["spec"]
    status: Object = {"replicas": obj.get("status", {}).get("replicas", 0)}
    selector = selector_text(spec.get("selector") or {})
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            k: meta[k] for k in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if k in meta
        },
        "spec": {"replicas": spec.get("replicas", 0)},
        "status": status,
    }


def scaled(obj: Object, scale: Object) -> Object:
    """A copy of the object with the replicas that a Scale asks for. ApiError 400 if it is no Scale."""
    try:
        wanted = Decoder().decode(SCALE, scale)
    except WrongType as why:
        raise bad_request(f'Scale in version "v1" cannot be handled as a Scale: {why}') from None
    new: Object = copied(obj)
    new["spec"]["replicas"] = wanted.get("spec", {}).get("replicas", 0)
    version = wanted.get("metadata", {}).get("resourceVersion")
    if version:
        new["metadata"]["resourceVersion"] = version
    else:
        new["metadata"].pop("resourceVersion", None)
    return new


def selector_text(selector: Object) -> str:
    """A ``LabelSelector`` as the text of a query."""
    parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for e in selector.get("matchExpressions") or ():
        values = ",".join(sorted(e.get("values") or ()))
        match e["operator"]:
            case "In":
                parts.append(f"{e['key']} in ({values})")
            case "NotIn":
                parts.append(f"{e['key']} notin ({values})")
            case "Exists":
                parts.append(e["key"])
            case _:
                parts.append(f"!{e['key']}")
    return ",".join(parts)
