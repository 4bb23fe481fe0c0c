"""Objects in protobuf, as Go clients send them: turned into what the same object would be in JSON.

The body is ``k8s\\0`` and a ``runtime.Unknown`` message that carries apiVersion, kind and the object's own message
(k8s.io/apimachinery/pkg/runtime). Only reading is needed: answers are JSON, which every client understands.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from lab.api.errors import Object, bad_request
from lab.api.kinds.numbers import NUMBERS
from lab.api.schema import (
    BOOLEAN,
    BYTES,
    INT32,
    INT64,
    INT_OR_STRING,
    QUANTITY,
    STRING,
    TIME,
    Array,
    Map,
    Record,
    Scalar,
    Type,
)

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types


def decode_object(body: bytes, shape: Record) -> Object:
    """The object in a body. ApiError 400 if it is malformed, or holds a field that is only understood in JSON."""
    if not body.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix 'k8s\\0'")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        names = dict(_fields(_bytes(envelope.get(1, b""))))
        obj = _record(shape, _bytes(envelope.get(2, b"")), shape.short_name)
        return {"apiVersion": _bytes(names.get(1, b"")).decode(), "kind": _bytes(names.get(2, b"")).decode()} | obj
    except (IndexError, ValueError, OverflowError, OSError) as why:
        raise bad_request(f"the body is not a valid protobuf message: {why}") from None


def _record(shape: Record, message: bytes, path: str) -> Object:
    numbers = NUMBERS.get(shape.name)
    result: Object = {}
    for number, content in _fields(message):
        field = numbers.get(number) if numbers else None
        if field is None or field.name not in shape.fields:
            if not content:
                continue  # Go writes empty fields too, also those that newer versions no longer have
            raise bad_request(f"field {number} of {path} is not understood in protobuf; send JSON instead")
        part = shape.fields[field.name]
        here = f"{path}.{field.name}"
        if isinstance(part, Array):
            result.setdefault(field.name, []).append(_value(part.items, content, here))
        elif isinstance(part, Map):
            entry = dict(_fields(_bytes(content)))
            key = _bytes(entry.get(1, b"")).decode()
            result.setdefault(field.name, {})[key] = _value(part.values, entry.get(2, b""), here)
        else:
            value = _value(part, content, here)
            if field.optional or value not in ("", 0, None, {}):
                result[field.name] = value
    return result


def _value(shape: Type, content: bytes | int, path: str) -> Any:
    if isinstance(shape, Record):
        return _record(shape, _bytes(content), path)
    if not isinstance(shape, Scalar):
        if content:
            raise bad_request(f"{path} is not understood in protobuf; send JSON instead")
        return {}
    if shape is BOOLEAN:
        return bool(content)
    if shape in (INT32, INT64):
        return _signed(content)
    if shape is STRING:
        return _bytes(content).decode()
    if shape is BYTES:
        return base64.b64encode(_bytes(content)).decode()
    parts = dict(_fields(_bytes(content)))
    if shape is TIME:
        seconds, nanos = _signed(parts.get(1, 0)), _signed(parts.get(2, 0))
        return _timestamp(seconds, nanos) if 1 in parts else None
    if shape is QUANTITY:
        return _bytes(parts.get(1, b"")).decode()
    if shape is INT_OR_STRING:
        return _bytes(parts.get(3, b"")).decode() if parts.get(1) else _signed(parts.get(2, 0))
    raise bad_request(f"{path} is not understood in protobuf; send JSON instead")


def _timestamp(seconds: int, nanos: int) -> str:
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanos // 1000:06}Z" if nanos else f"{text}Z"


# --- the wire (protobuf.dev/programming-guides/encoding) ----------------------------------------------------------


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a message in order: number, and content as bytes or as an unsigned number."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire_type == _LENGTH:
            length, at = _varint(message, at)
        elif wire_type in (_FIXED64, _FIXED32):
            length = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if at + length > len(message):
            raise ValueError("it ends in the middle of a field")
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is too long")


def _bytes(content: bytes | int) -> bytes:
    if isinstance(content, int):
        raise ValueError("a number where text or a message is expected")
    return content


def _signed(content: bytes | int) -> int:
    if not isinstance(content, int):
        raise ValueError("text or a message where a number is expected")
    return content - (1 << 64) if content >> 63 else content
