"""How a client wants to see objects: whole, as a Table, or only their metadata. Chosen by its Accept header.

Whole objects are the usual case, and cost nothing: their JSON is made once and shared by all lists and watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from lab.api.errors import Object, not_acceptable
from lab.api.history import Stored
from lab.api.http.answers import JSON
from lab.api.registry import Resource
from lab.api.renaming import from_stored
from lab.api.tables.table import partial, table

_encode = msgspec.json.Encoder().encode
_FORMS = {"Table": "Table", "PartialObjectMetadata": "Partial", "PartialObjectMetadataList": "Partial"}


@dataclass(frozen=True, slots=True)
class View:
    """One way to show objects. `form` is Object, Table or Partial; `include` what comes with each row of a Table."""

    form: str = "Object"
    include: str = "Metadata"

    @staticmethod
    def wanted(accept: str, include: str = "") -> View:
        """The first one in an Accept header that can be given. ApiError 406 if there is none."""
        for entry in accept.split(",") if accept.strip() else [JSON]:
            media_type, *given = (part.strip() for part in entry.split(";"))
            options = dict(option.split("=", 1) for option in given if "=" in option)
            if media_type in (JSON, "*/*", "application/*"):
                if "as" not in options:
                    return View()
                if options["as"] in _FORMS and options.get("v") == "v1":
                    return View(_FORMS[options["as"]], include or "Metadata")
        raise not_acceptable((JSON,))

    def one(self, resource: Resource, stored: Stored) -> bytes:
        """One object, as the answer to a get."""
        if self.form == "Object":
            return _json(resource, stored)
        if self.form == "Partial":
            return _encode(partial(stored.object))
        version = {"resourceVersion": str(stored.version)}
        return _encode(table(resource.stored, [stored.object], _now(), metadata=version, include=self.include))

    def many(self, resource: Resource, items: Sequence[Stored], metadata: Object) -> bytes:
        """A list, with its own metadata."""
        if self.form == "Table":
            objects = [stored.object for stored in items]
            return _encode(table(resource.stored, objects, _now(), metadata=metadata, include=self.include))
        kind, version, parts = (
            f"{resource.kind}List",
            resource.api_version,
            [_json(resource, stored) for stored in items],
        )
        if self.form == "Partial":
            kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
            parts = [_encode(partial(stored.object)) for stored in items]
        head = _encode({"kind": kind, "apiVersion": version, "metadata": metadata})
        return b"".join((head[:-1], b',"items":[', b",".join(parts), b"]}\n"))

    def event(self, resource: Resource, kind: str, stored: Stored, *, first: bool) -> bytes:
        """One line of a watch."""
        if self.form == "Object":
            shown = _json(resource, stored)
        elif self.form == "Partial":
            shown = _encode(partial(stored.object))
        else:
            version = {"resourceVersion": str(stored.version)}
            shown = _encode(
                table(resource.stored, [stored.object], _now(), metadata=version, include=self.include, headed=first)
            )
        return b"".join((b'{"type":"', kind.encode(), b'","object":', shown, b"}\n"))

    def bookmark(self, resource: Resource, version: int, annotations: Object | None = None) -> bytes:
        """The line of a watch that tells how far it has come."""
        metadata: Object = {"resourceVersion": str(version)}
        if annotations:
            metadata["annotations"] = annotations
        obj: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self.form == "Partial":
            obj |= {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        elif self.form == "Table":
            obj = table(resource.stored, [], _now(), metadata=metadata, include=self.include, headed=False)
        return _encode({"type": "BOOKMARK", "object": obj}) + b"\n"


def _json(resource: Resource, stored: Stored) -> bytes:
    return stored.json if resource.view_of is None else _encode(from_stored(resource, stored.object))


def _now() -> datetime:
    return datetime.now(UTC)
