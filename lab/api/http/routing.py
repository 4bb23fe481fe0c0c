"""From a path to what it names: a resource, perhaps a namespace, an object, a subresource."""

from __future__ import annotations

from dataclasses import dataclass

from lab.api.errors import path_not_found
from lab.api.registry import RESOURCES, Resource

_BY_PATH = {(r.group, r.version, r.plural): r for r in RESOURCES}


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about. Without a name it is the collection, without a namespace that of all namespaces."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def stored(self) -> Resource:
        """The resource under which the store keeps what this is about."""
        return self.resource.stored

    @property
    def key(self) -> str:
        """The object's key in the store."""
        return f"{self.namespace}/{self.name}" if self.resource.namespaced else self.name


def target_of(path: str) -> Target:
    """``/api/v1/namespaces/default/services/web/status``, say. ApiError 404 if it names nothing that is served."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise path_not_found()
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (group, version, rest[2]) in _BY_PATH:
        namespace, rest = rest[1], rest[2:]
    resource = _BY_PATH.get((group, version, rest[0]))
    if resource is None or len(rest) > 3 or bool(namespace) > resource.namespaced:
        raise path_not_found()
    name, subresource = (*rest[1:], "", "")[:2]
    if (subresource and subresource not in resource.subresources) or (name and resource.namespaced and not namespace):
        raise path_not_found()
    return Target(resource, namespace, name, subresource)
