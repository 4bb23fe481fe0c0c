"""From the shapes of the kinds to JSON schemas, with the extensions that Kubernetes' clients read."""

from __future__ import annotations

from lab.api.errors import Object
from lab.api.registry import Resource
from lab.api.schema import Anything, Array, Map, Record, Scalar, Type, records


def definitions(resources: tuple[Resource, ...], reference: str) -> dict[str, Object]:
    """A schema for every Record of these kinds, by name. `reference` is what stands before a name in a ``$ref``."""
    found: dict[str, Object] = {}
    for resource in resources:
        for shape in records(resource.shape):
            if shape.name not in found:
                found[shape.name] = _record(shape, reference)
        found[resource.shape.name]["x-kubernetes-group-version-kind"] = [kind_of(resource)]
    return found


def kind_of(resource: Resource) -> Object:
    return {"group": resource.group, "kind": resource.kind, "version": resource.version}


def _record(shape: Record, reference: str) -> Object:
    schema: Object = {
        "description": f"{shape.short_name}, as in the Kubernetes API.",
        "type": "object",
        "properties": {name: _schema(part, reference) for name, part in sorted(shape.fields.items())},
    }
    if shape.required:
        schema["required"] = sorted(shape.required)
    return schema


def _schema(shape: Type, reference: str) -> Object:
    if isinstance(shape, Record):
        schema: Object = {"$ref": reference + shape.name}
        if shape.retain_keys:
            schema["x-kubernetes-patch-strategy"] = "retainKeys"
        return schema
    if isinstance(shape, Scalar):
        # A quantity is a number or text, and only known to be text or a number: "string" admits both.
        known = shape.format and shape.format != "quantity"
        return {"type": shape.name, "format": shape.format} if known else {"type": shape.name}
    if isinstance(shape, Map):
        return {"type": "object", "additionalProperties": _schema(shape.values, reference)}
    if isinstance(shape, Anything):
        return {}
    return _array(shape, reference)


def _array(shape: Array, reference: str) -> Object:
    schema: Object = {"type": "array", "items": _schema(shape.items, reference)}
    if shape.merge_key:
        schema["x-kubernetes-patch-merge-key"] = shape.merge_key
    if shape.merge_key or shape.is_set:
        schema["x-kubernetes-patch-strategy"] = "merge"
    if shape.map_keys:
        schema["x-kubernetes-list-type"] = "map"
        schema["x-kubernetes-list-map-keys"] = list(shape.map_keys)
    else:
        schema["x-kubernetes-list-type"] = "set" if shape.is_set else "atomic"
    return schema
