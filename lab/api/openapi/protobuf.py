"""An OpenAPI version 2 document in protobuf, which is the only form that `kubectl` before 1.27 reads.

The messages are those of OpenAPIv2.proto in github.com/google/gnostic; beside each number below stands the field's name
there. Only the parts that `documents` writes are encoded. Extensions (``x-kubernetes-...``) travel as YAML text; JSON
is YAML, so JSON it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from lab.api.errors import Object


def document(doc: Object) -> bytes:
    """``Document``."""
    info = _text(1, doc["info"]["title"]) + _text(2, doc["info"]["version"])
    paths = b"".join(_message(2, _named(path, _path_item(item))) for path, item in doc["paths"].items())  # path
    schemas = (_message(1, _named(name, _schema(schema))) for name, schema in doc["definitions"].items())
    return (
        _text(1, doc["swagger"])
        + _message(2, info)
        + _message(8, paths)  # paths
        + _message(9, b"".join(schemas))  # definitions
    )


def _path_item(item: Object) -> bytes:
    """``PathItem``."""
    return _message(8, _operation(item["patch"]))


def _operation(operation: Object) -> bytes:
    """``Operation``."""
    parameters = b"".join(_message(8, _query_parameter(p)) for p in operation["parameters"])
    responses = b"".join(
        _message(1, _named(code, _message(1, _text(1, response["description"]))))  # response_code, response
        for code, response in operation["responses"].items()
    )
    return _text(5, operation["operationId"]) + parameters + _message(9, responses) + _extensions(13, operation)


def _query_parameter(parameter: Object) -> bytes:
    """``ParametersItem`` → parameter → non_body_parameter → query_parameter_sub_schema."""
    inner = (
        _text(2, parameter["in"])
        + _text(4, parameter["name"])
        + _text(6, parameter["type"])
        + _flag(20, parameter["uniqueItems"])
    )
    return _message(1, _message(2, _message(3, inner)))


def _schema(schema: Object) -> bytes:
    """``Schema``."""
    parts = []
    if "$ref" in schema:
        parts.append(_text(1, schema["$ref"]))  # _ref
    if "format" in schema:
        parts.append(_text(2, schema["format"]))
    if "description" in schema:
        parts.append(_text(4, schema["description"]))
    parts += [_text(19, name) for name in schema.get("required", ())]
    if "additionalProperties" in schema:
        parts.append(_message(21, _message(1, _schema(schema["additionalProperties"]))))
    if "type" in schema:
        parts.append(_message(22, _text(1, schema["type"])))
    if "items" in schema:
        parts.append(_message(23, _message(1, _schema(schema["items"]))))
    if "properties" in schema:
        named = (_message(1, _named(name, _schema(part))) for name, part in schema["properties"].items())
        parts.append(_message(25, b"".join(named)))
    parts.append(_extensions(31, schema))
    return b"".join(parts)


def _named(name: str, value: bytes) -> bytes:
    """``NamedSchema``, ``NamedPathItem`` and all the others: name and value."""
    return _text(1, name) + _message(2, value)


def _extensions(number: int, part: Object) -> bytes:
    """``vendor_extension``: a ``NamedAny`` each, whose value is text (yaml, field 2 of ``Any``)."""
    return b"".join(
        _message(number, _named(name, _text(2, json.dumps(value) + "\n")))
        for name, value in _items(part)
        if name.startswith("x-")
    )


def _items(part: Object) -> Iterable[tuple[str, Any]]:
    return sorted(part.items())


# --- the wire (protobuf.dev/programming-guides/encoding) ----------------------------------------------------------


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _message(number: int, content: bytes) -> bytes:
    """A field of wire type 2: its length, then its content."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3) + _varint(int(value))
