"""Kinds by the names that people give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dataplane.errors import InputError
from lab.api.registry import RESOURCES, Resource


def resources_named(words: str) -> Sequence[Resource]:
    """What ``svc``, ``Service``, ``services``, ``pods,deploy`` or ``all`` mean. InputError if one is unknown."""
    return [resource for word in words.split(",") for resource in _named(word.strip().lower())]


def _named(word: str) -> Sequence[Resource]:
    found = [r for r in RESOURCES if word in (r.plural, r.singular, r.qualified, *r.short_names)]
    if found:
        return found[:1]
    several = [r for r in RESOURCES if word and word in r.categories]
    if not several:
        known = ", ".join(sorted({r.plural for r in RESOURCES}))
        raise InputError(f"kind {word!r}: the lab does not know it, expected one of {known}")
    return several


def resource_of(obj: dict[str, Any], where: str) -> Resource:
    """The kind of an object in a manifest. InputError, beginning with `where`, if the lab has none like it."""
    for resource in RESOURCES:
        if (resource.api_version, resource.kind) == (obj["apiVersion"], obj["kind"]):
            return resource
    same_kind = sorted(r.api_version for r in RESOURCES if r.kind == obj["kind"])
    if same_kind:
        raise InputError(
            f"{where}: apiVersion {obj['apiVersion']!r}: expected {' or '.join(same_kind)} for {obj['kind']}"
        )
    known = ", ".join(sorted({r.kind for r in RESOURCES}))
    raise InputError(f"{where}: kind {obj['kind']!r}: the lab does not know it, expected one of {known}")


def shown_name(resource: Resource) -> str:
    """A kind as kubectl writes it in front of a name: ``service``, ``deployment.apps``."""
    return f"{resource.singular}.{resource.group}" if resource.group else resource.singular
