"""Strategic merge patch: a merge patch that knows which lists are maps in disguise.

``containers`` is merged by ``name``, a Service's ``ports`` by ``port``, conditions by ``type``; the merge keys stand in
the shapes of the kinds. A patch may carry directives: ``$patch: replace|delete|merge`` in an object, ``$retainKeys``,
``$deleteFromPrimitiveList/F`` and ``$setElementOrder/F`` beside a field F.
"""

from __future__ import annotations

from typing import Any

from lab.api.errors import Object
from lab.api.patches.json_patch import PatchError
from lab.api.patches.merge import merge_patch
from lab.api.schema import ANYTHING, Array, Map, Record, Type

_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic_merge(shape: Type, value: Any, patch: Any) -> Any:
    """`value` with `patch` merged into it, lists by their merge keys. PatchError if the patch is malformed."""
    if not isinstance(patch, dict) or not isinstance(shape, Record | Map):
        return merge_patch(value, patch) if shape is ANYTHING else patch
    directive = patch.get("$patch", "merge")
    plain = {k: v for k, v in patch.items() if not k.startswith("$")}
    if directive == "replace":
        return plain
    if directive == "delete":
        return {}
    if directive != "merge":
        raise PatchError(f"invalid value for $patch: {directive!r}; expected merge, replace or delete")
    result: Object = dict(value) if isinstance(value, dict) else {}
    if "$retainKeys" in patch:
        result = {k: v for k, v in result.items() if k in patch["$retainKeys"]}
    for key in patch:
        if key.startswith(_DELETE_FROM):
            field = key.removeprefix(_DELETE_FROM)
            result[field] = [item for item in result.get(field) or [] if item not in patch[key]]
    for key, change in plain.items():
        if change is None:
            result.pop(key, None)
        elif (part := _part(shape, key)) and isinstance(part, Array) and isinstance(change, list):
            result[key] = _merge_list(part, result.get(key) or [], change)
        else:
            result[key] = strategic_merge(part, result.get(key), change)
    for key in patch:
        field = key.removeprefix(_ORDER)
        part = _part(shape, field)
        if field != key and isinstance(part, Array) and result.get(field):
            before = value.get(field) or [] if isinstance(value, dict) else []
            result[field] = _ordered(part, result[field], patch[key], before)
    return result


def _part(shape: Record | Map, key: str) -> Type:
    return shape.values if isinstance(shape, Map) else shape.fields.get(key, ANYTHING)


def _merge_list(shape: Array, items: list[Any], changes: list[Any]) -> list[Any]:
    if shape.is_set:
        return items + [change for change in changes if change not in items]
    if not shape.merge_key:
        return changes
    if {"$patch": "replace"} in changes:
        return [change for change in changes if change != {"$patch": "replace"}]
    key = shape.merge_key
    result = list(items)
    for change in changes:
        if not isinstance(change, dict) or key not in change:
            raise PatchError(f"map: {change!r} does not contain declared merge key: {key}")
        at = _find(shape, result, change)
        directive = change.get("$patch")
        if directive == "delete":
            result = [item for item in result if item.get(key) != change[key]]
        elif at is None:
            result.append(strategic_merge(shape.items, {}, change))
        else:
            result[at] = strategic_merge(shape.items, result[at], change)
    return result


def _find(shape: Array, items: list[Object], change: Object) -> int | None:
    """Which item a change is for. Where several have its merge key (a Service's port 53 for TCP and for UDP), the
    one that agrees in the other keys; the real server takes the first, and mixes the two up (kubernetes#39188)."""
    same = [i for i, item in enumerate(items) if item.get(shape.merge_key) == change[shape.merge_key]]
    others = [k for k in shape.map_keys if k != shape.merge_key and k in change]
    exact = [i for i in same if all(items[i].get(k) == change[k] for k in others)]
    if exact:
        return exact[0]
    if same and others and all(set(others) <= items[i].keys() for i in same) and len(shape.map_keys) > 1:
        return None
    return same[0] if same else None


def _ordered(shape: Array, items: list[Any], order: list[Any], before: list[Any]) -> list[Any]:
    """The items in the order that the patch wants. Items that it does not name keep their place among the others."""

    def name(item: Any) -> Any:
        return item.get(shape.merge_key) if shape.merge_key and isinstance(item, dict) else item

    wanted = [name(item) for item in order]
    known = [name(item) for item in before]
    named = sorted((i for i in items if name(i) in wanted), key=lambda i: wanted.index(name(i)))
    others = [i for i in items if name(i) not in wanted]
    result = []
    while named and others:
        first, other = name(named[0]), name(others[0])
        other_first = first in known and other in known and known.index(other) < known.index(first)
        result.append(others.pop(0) if other_first else named.pop(0))
    return result + named + others
