"""One object under two APIs: events.k8s.io/v1 shows the Events of core/v1 with other names for the same fields."""

from __future__ import annotations

from lab.api.errors import Object
from lab.api.registry import Resource
from lab.api.selectors import FieldSelector


def to_stored(resource: Resource, obj: Object) -> Object:
    """An object of this resource as the store keeps it."""
    if resource.view_of is None:
        return obj
    renamed = {resource.renames.get(name, name): value for name, value in obj.items()}
    return renamed | {"apiVersion": resource.view_of.api_version, "kind": resource.view_of.kind}


def from_stored(resource: Resource, obj: Object) -> Object:
    """A stored object as this resource shows it."""
    if resource.view_of is None:
        return obj
    names = {stored: name for name, stored in resource.renames.items()}
    renamed = {names.get(name, name): value for name, value in obj.items()}
    return renamed | {"apiVersion": resource.api_version, "kind": resource.kind}


def selector_for_stored(resource: Resource, selector: FieldSelector) -> FieldSelector:
    """A field selector on this resource as one on what is stored."""
    conditions = []
    for condition in selector.conditions:
        first, dot, rest = condition.path.partition(".")
        conditions.append(condition._replace(path=resource.renames.get(first, first) + dot + rest))
    return FieldSelector(tuple(conditions))
