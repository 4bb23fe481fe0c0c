"""Request bodies: JSON, YAML or protobuf in, plain values out, and the fields that were given twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from lab.api.errors import bad_request, unsupported_media_type
from lab.api.http import protobuf
from lab.api.http.answers import JSON
from lab.api.schema import Record
from lab.text_yaml import TextLoader, whole_characters

_YAML = ("application/yaml", "application/apply-patch+yaml")
_ACCEPTED = (JSON, "application/yaml", protobuf.MEDIA_TYPE)


class _Twice(dict[str, Any]):
    """An object in which some fields were given more than once (the last one counts)."""

    fields: list[str]


def parse_body(body: bytes, media_type: str, shape: Record) -> tuple[Any, list[str]]:
    """The value, and the paths of fields given twice. ApiError: 400 (malformed), 415 (an unknown form).

    `shape` is what the value should be; it matters only to protobuf, which can't be read without.
    """
    if media_type == protobuf.MEDIA_TYPE:
        return protobuf.decode_object(body, shape), []
    try:
        if media_type in _YAML:
            value = yaml.load(body, _YamlLoader)
        elif media_type == JSON or media_type.endswith("+json") or not media_type:
            value = json.loads(body, object_pairs_hook=_object)
            if b"\\u" in body:
                value = _whole(value)
        else:
            raise unsupported_media_type(media_type, _ACCEPTED)
    except (ValueError, yaml.YAMLError) as why:
        reason = " ".join(str(why).split())
        raise bad_request(f"couldn't get version/kind; json parse error: {reason}") from None
    return value, list(_twice(value, ""))


def _whole(value: Any) -> Any:
    """The same value, in which every text is made of whole characters."""
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, list):
        value[:] = map(_whole, value)
    elif isinstance(value, dict):
        for key in list(value):
            value[whole_characters(key)] = _whole(value.pop(key))
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    marked = _Twice(plain)
    names = [name for name, _ in pairs]
    marked.fields = sorted({name for name in names if names.count(name) > 1})
    return marked


def _twice(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value, _Twice):
            yield from (f"{path}.{name}" if path else name for name in value.fields)
        for name, part in value.items():
            yield from _twice(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from _twice(part, f"{path}[{i}]")


class _YamlLoader(TextLoader):
    """Fields given twice are noticed."""


def _construct_object(loader: _YamlLoader, node: yaml.MappingNode) -> dict[str, Any]:
    return _object(
        [(str(loader.construct_object(k, deep=True)), loader.construct_object(v, deep=True)) for k, v in node.value]
    )


_YamlLoader.add_constructor("tag:yaml.org,2002:map", _construct_object)
