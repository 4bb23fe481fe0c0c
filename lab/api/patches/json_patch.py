"""JSON patch (RFC 6902): a list of operations, each at a place named by a JSON pointer (RFC 6901)."""

from __future__ import annotations

from typing import Any

from lab.api.errors import ApiError
from lab.api.schema import copied


class PatchError(ApiError):
    """A patch that can't be applied to this object."""

    def __init__(self, why: str) -> None:
        super().__init__(422, "Invalid", f"the server rejected our request due to an error in our request: {why}")


def json_patch(value: Any, operations: Any) -> Any:
    """`value` with all operations done in order. PatchError if one of them can't be, and then none counts."""
    document = copied(value)
    for operation in operations:
        document = _step(document, operation)
    return document


def _step(document: Any, operation: Any) -> Any:
    try:
        name, path = operation["op"], _pointer(operation["path"])
        if name in ("move", "copy"):
            source = _pointer(operation["from"])
            moved = copied(_find(document, source))
            if name == "move":
                document = _remove(document, source)
            return _add(document, path, moved)
        if name == "remove":
            return _remove(document, path)
        if name not in ("add", "replace", "test"):
            raise PatchError(f"json patch: unknown operation {name!r}")
        given = copied(operation["value"])
    except (KeyError, TypeError):
        raise PatchError(f"json patch: an operation lacks op, path, from or value: {operation!r}") from None
    if name == "add":
        return _add(document, path, given)
    present = _find(document, path)
    if name == "replace":
        return _add(_remove(document, path), path, given) if path else given
    if present != given:
        raise PatchError(f"json patch: testing path {operation['path']} value failed")
    return document


def _pointer(text: object) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise PatchError(f"json patch: a path begins with a slash: {text!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _find(document: Any, path: list[str]) -> Any:
    for i, part in enumerate(path):
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(part, len(document) - 1, path)]
        else:
            raise PatchError(f"json patch: there is nothing at /{'/'.join(path[: i + 1])}")
    return document


def _index(part: str, most: int, path: list[str]) -> int:
    if not part.isdecimal() or int(part) > most:
        raise PatchError(f"json patch: no such list position: /{'/'.join(path)}")
    return int(part)


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _find(document, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        at = len(parent) if path[-1] == "-" else _index(path[-1], len(parent), path)
        parent.insert(at, value)
    else:
        raise PatchError(f"json patch: neither an object nor a list at /{'/'.join(path[:-1])}")
    return document


def _remove(document: Any, path: list[str]) -> Any:
    _find(document, path)
    if not path:
        raise PatchError("json patch: the whole object can't be removed")
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        del parent[_index(path[-1], len(parent) - 1, path)]
    else:
        del parent[path[-1]]
    return document
