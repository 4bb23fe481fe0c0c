"""Make the objects of a cluster as manifests say: all of them or none.

An object that exists is changed the way `kubectl apply` does it: by comparing the manifest applied last, which is kept
in an annotation, with the new one. What the new one has no longer is removed, what others wrote stays. The annotation
is kubectl's own, so both may be used on the same objects.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dataplane.errors import InputError
from lab.api.registry import NAMESPACES, Resource
from lab.cluster.client import JSON, MERGE_PATCH, ApiClient, RefusedError, path_of
from lab.cluster.kinds import resource_of, shown_name
from lab.manifests import Manifest

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one manifest."""

    resource: Resource
    name: str
    outcome: str  #: created, configured or unchanged

    def __str__(self) -> str:
        return f"{shown_name(self.resource)}/{self.name} {self.outcome}"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A manifest, and where its object belongs."""

    manifest: Manifest
    resource: Resource
    namespace: str
    name: str


def apply(client: ApiClient, manifests: Sequence[Manifest]) -> list[Applied]:
    """Create or change all objects, in order.

    Every manifest is first tried without effect (a dry run), so a wrong one is found before anything is stored. If
    one is refused all the same, because of another one of them, what was done is undone. Raises InputError that
    names the manifest and the field.
    """
    wanted = [_wanted(manifest) for manifest in manifests]
    new_namespaces = {w.name for w in wanted if w.resource is NAMESPACES}
    for one in wanted:
        with _naming(one):
            _put(client, one, dry_run=True, new_namespaces=new_namespaces)
    done: list[Applied] = []
    undo: list[Callable[[], object]] = []
    try:
        for one in wanted:
            with _naming(one):
                done.append(_put(client, one, undo=undo))
    except InputError:
        for step in reversed(undo):
            step()
        raise
    return done


def three_way_patch(last: Any, current: Any, wanted: Any) -> Any:
    """A merge patch (RFC 7386) that brings `current` to `wanted`, removing only what `last` had and `wanted` has not.

    Lists are replaced as a whole.
    """
    if not isinstance(wanted, dict):
        return wanted
    before = last if isinstance(last, dict) else {}
    now = current if isinstance(current, dict) else {}
    patch = {key: three_way_patch(before.get(key), now.get(key), value) for key, value in wanted.items()}
    return patch | {key: None for key in before if key not in wanted and key in now}


def _wanted(manifest: Manifest) -> _Wanted:
    resource = resource_of(manifest.object, manifest.where)
    metadata = manifest.object["metadata"]
    name = metadata.get("name")
    if not name:
        raise InputError(f"{manifest.where}: metadata.name is missing: an object to apply needs a name of its own")
    namespace = metadata.get("namespace") or DEFAULT_NAMESPACE if resource.namespaced else ""
    return _Wanted(manifest, resource, namespace, name)


def _put(
    client: ApiClient,
    one: _Wanted,
    *,
    dry_run: bool = False,
    new_namespaces: Collection[str] = (),
    undo: list[Callable[[], object]] | None = None,
) -> Applied:
    query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
    path = path_of(one.resource, one.namespace, one.name)
    obj = with_last_applied(one.manifest.object)
    try:
        current = client.get(one.resource, one.namespace, one.name)
    except RefusedError as error:
        if not error.is_not_found:
            raise
        namespace = one.namespace
        if dry_run and namespace in new_namespaces:
            # It is among the manifests, so it is not there yet; any other shows as well whether the object is right.
            namespace = DEFAULT_NAMESPACE
            obj = obj | {"metadata": obj["metadata"] | {"namespace": namespace}}
        client.request("POST", path_of(one.resource, namespace), query=query, body=obj, content_type=JSON)
        if undo is not None:
            undo.append(lambda: client.request("DELETE", path))
        return Applied(one.resource, one.name, "created")
    last = json.loads((current["metadata"].get("annotations") or {}).get(LAST_APPLIED, "null"))
    patch = three_way_patch(last, current, obj)
    changed = client.request("PATCH", path, query=query, body=patch, content_type=MERGE_PATCH)
    if changed["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]:
        return Applied(one.resource, one.name, "unchanged")
    if undo is not None:
        metadata = {key: value for key, value in current["metadata"].items() if key != "resourceVersion"}
        undo.append(lambda: client.request("PUT", path, body=current | {"metadata": metadata}))
    return Applied(one.resource, one.name, "configured")


def with_last_applied(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest with a copy of itself in its annotation, as kubectl writes it."""
    metadata = manifest["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED}
    bare = manifest | {"metadata": metadata | {"annotations": annotations}}
    text = json.dumps(bare, separators=(",", ":"), sort_keys=True) + "\n"
    return manifest | {"metadata": metadata | {"annotations": annotations | {LAST_APPLIED: text}}}


@contextlib.contextmanager
def _naming(one: _Wanted) -> Iterator[None]:
    """A refusal becomes an error that begins with the manifest."""
    try:
        yield
    except RefusedError as error:
        raise InputError(f"{one.manifest.where}: {error}") from None
