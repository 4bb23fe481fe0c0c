"""Server-side apply, as far as it goes here: a three-way merge per field manager.

What a manager applied last time and leaves out now goes away; what it applies is set; the rest stays. What this is not:
ownership of fields. Two managers that apply the same field take turns instead of getting a conflict, and
``metadata.managedFields`` stays empty.
"""

from __future__ import annotations

from typing import Any

from lab.api.errors import Object
from lab.api.patches.strategic import strategic_merge
from lab.api.schema import ANYTHING, Array, Map, Record, Type


def applied(shape: Record, live: Object, last: Object, config: Object) -> Any:
    """`live` with `config` in it, and without what only `last` has."""
    return strategic_merge(shape, strategic_merge(shape, live, _dropped(shape, last, config)), config)


def _dropped(shape: Type, last: Object, config: Object) -> Object:
    """The strategic merge patch that removes what `last` has and `config` has not."""
    patch: Object = {}
    for key, before in last.items():
        part = shape.values if isinstance(shape, Map) else shape.fields.get(key, ANYTHING)  # type: ignore[union-attr]
        now = config.get(key)
        if now is None and isinstance(before, dict) and isinstance(part, Map):
            patch[key] = dict.fromkeys(before)  # others may have put keys of their own there
        elif now is None:
            patch[key] = None
        elif isinstance(before, dict) and isinstance(now, dict) and isinstance(part, Record | Map):
            if inner := _dropped(part, before, now):
                patch[key] = inner
        elif isinstance(part, Array) and isinstance(before, list) and isinstance(now, list):
            patch |= _dropped_items(part, key, before, now)
    return patch


def _dropped_items(shape: Array, field: str, before: list[Any], now: list[Any]) -> Object:
    if shape.is_set:
        gone = [item for item in before if item not in now]
        return {f"$deleteFromPrimitiveList/{field}": gone} if gone else {}
    if not shape.merge_key:
        return {}
    key = shape.merge_key
    patch: list[Object] = []
    for item in before:
        same = next((i for i in now if i.get(key) == item.get(key)), None)
        if same is None:
            patch.append({key: item.get(key), "$patch": "delete"})
        elif inner := _dropped(shape.items, item, same) if isinstance(shape.items, Record) else {}:
            patch.append({key: item.get(key)} | inner)
    return {field: patch} if patch else {}
