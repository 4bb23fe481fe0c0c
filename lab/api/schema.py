"""A small language for the shape of objects: which fields a kind has, and of which types.

    SERVICE_PORT = Record("io.k8s.api.core.v1.ServicePort", port=INT32, name=STRING, ...)

From one description follow the decoding of what clients send (`Decoder`), the merge keys of strategic merge patches,
and the OpenAPI documents with which `kubectl` checks manifests on its own.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lab.api.errors import Object


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A value without parts. `python` lists the types that JSON may give for it."""

    name: str  #: as in OpenAPI
    format: str  #: as in OpenAPI; "" for none
    go: str  #: as the real server calls it in messages
    python: tuple[type, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Anything:
    """Whatever it is, it is kept as it is and not looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """An object with names that the user chooses, and values of one type."""

    values: Type


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """A list. Strategic merge patches merge it by `merge_key`, or as a set if `is_set`; else they replace it.

    `map_keys` are the keys by which server-side apply tells its entries apart (``x-kubernetes-list-map-keys``).
    `kept` says that an empty list is not the same as none.
    """

    items: Type
    merge_key: str = ""
    is_set: bool = False
    map_keys: tuple[str, ...] = ()
    kept: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """An object with given fields. `name` is its name in the OpenAPI documents."""

    name: str
    fields: Mapping[str, Type]
    required: frozenset[str] = frozenset()
    retain_keys: bool = False  #: ``x-kubernetes-patch-strategy: retainKeys``: a union

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]


Type: TypeAlias = Scalar | Anything | Map | Array | Record

STRING = Scalar("string", "", "string", (str,))
BOOLEAN = Scalar("boolean", "", "bool", (bool,))
INT32 = Scalar("integer", "int32", "int32", (int,))
INT64 = Scalar("integer", "int64", "int64", (int,))
NUMBER = Scalar("number", "double", "float64", (int, float))
INT_OR_STRING = Scalar("string", "int-or-string", "intstr.IntOrString", (int, str))
QUANTITY = Scalar("string", "quantity", "resource.Quantity", (int, float, str))
TIME = Scalar("string", "date-time", "v1.Time", (str,))
BYTES = Scalar("string", "byte", "[]uint8", (str,))
ANYTHING = Anything()
STRINGS = Map(STRING)

_LIMITS = {"int32": 1 << 31, "int64": 1 << 63}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")


def record(name: str, /, *, required: str = "", retain_keys: bool = False, **fields: Type) -> Record:
    """A Record; `required` names fields with blanks between."""
    return Record(name, fields, frozenset(required.split()), retain_keys)


class WrongType(Exception):  # noqa: N818 (the message is for the caller to complete)
    """A field has a value of a type that it can't have. The message is that of Go's JSON decoder."""


@dataclass(slots=True)
class Decoder:
    """Takes what a client sent apart and puts it together again: known fields only, nulls and empty lists left out.

    What it returns shares nothing with its input. Fields that are unknown, and required ones that are not there, are
    collected as paths.
    """

    unknown: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def decode(self, kind: Type, value: Any, path: str = "", struct: str = "") -> Any:
        """The value as this type. WrongType if it can't be."""
        if isinstance(kind, Record):
            return self._record(kind, value, path, struct)
        if isinstance(kind, Scalar):
            return _scalar(kind, value, path, struct)
        if isinstance(kind, Array):
            if not isinstance(value, list):
                raise _wrong(value, path, struct, f"[]{_go_name(kind.items)}")
            items = kind.items
            return [self.decode(items, item, f"{path}[{i}]", struct) for i, item in enumerate(value)]
        if isinstance(kind, Map):
            if not isinstance(value, dict):
                raise _wrong(value, path, struct, f"map[string]{_go_name(kind.values)}")
            values = kind.values
            return {k: self.decode(values, v, f"{path}.{k}", struct) for k, v in value.items() if v is not None}
        return copied(value)

    def _record(self, kind: Record, value: Any, path: str, struct: str) -> Object:
        if not isinstance(value, dict):
            raise _wrong(value, path, struct, _go_name(kind))
        result: Object = {}
        fields = kind.fields
        for name, given in value.items():
            expected = fields.get(name)
            here = f"{path}.{name}" if path else name
            if expected is None:
                self.unknown.append(here)
            elif given is not None:
                decoded = self.decode(expected, given, here, kind.short_name)
                empty = isinstance(expected, Map) or (isinstance(expected, Array) and not expected.kept)
                if decoded or not empty:
                    result[name] = decoded
        if not kind.required <= result.keys():
            absent = sorted(kind.required - result.keys())
            self.missing += [f"{path}.{name}" if path else name for name in absent]
        return result


def _scalar(kind: Scalar, given: object, path: str, struct: str) -> Any:
    if not isinstance(given, kind.python) or (isinstance(given, bool) and kind is not BOOLEAN):
        raise _wrong(given, path, struct, kind.go)
    value: Any = given
    if kind.format in _LIMITS and not -_LIMITS[kind.format] <= value < _LIMITS[kind.format]:
        raise _wrong(value, path, struct, kind.go, f"number {value}")
    if kind is TIME and not _RFC3339.fullmatch(value):
        raise WrongType(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse ({path})')
    if kind is QUANTITY:
        if not _QUANTITY.fullmatch(str(value)):
            raise WrongType(
                "quantities must match the regular expression "
                f"'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' ({path}: {value!r})"
            )
        return str(value)
    if kind is BYTES:
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise WrongType(f"illegal base64 data in {path}") from None
    return value


def _wrong(value: Any, path: str, struct: str, expected: str, given: str = "") -> WrongType:
    name = f"Go struct field {struct}.{path}" if struct else "Go value"
    return WrongType(f"json: cannot unmarshal {given or _json_name(value)} into {name} of type {expected}")


def _json_name(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "number"


def _go_name(kind: Type) -> str:
    if isinstance(kind, Scalar):
        return kind.go
    if isinstance(kind, Record):
        return f"v1.{kind.short_name}"
    if isinstance(kind, Array):
        return f"[]{_go_name(kind.items)}"
    return f"map[string]{_go_name(kind.values)}" if isinstance(kind, Map) else "interface {}"


def copied(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if isinstance(value, dict):
        return {k: copied(v) for k, v in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def records(kind: Type) -> Iterator[Record]:
    """Every Record in this type, itself included, parts first; some more than once."""
    if isinstance(kind, Record):
        for part in kind.fields.values():
            yield from records(part)
        yield kind
    elif isinstance(kind, Array):
        yield from records(kind.items)
    elif isinstance(kind, Map):
        yield from records(kind.values)
