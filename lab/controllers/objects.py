"""What every controller reads in an object: its key, its owner, its conditions, its times.

Objects are plain dicts, as in JSON, and are shared with the store: they are read, copied and replaced, never
written to.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

from lab.api.errors import Object

Clock: TypeAlias = Callable[[], datetime]  #: the time of day; tests have their own


class Key(NamedTuple):
    """Where an object is found. Objects without a namespace have ``""`` there."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def key_of(obj: Object) -> Key:
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def labels_of(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def is_going(obj: Object) -> bool:
    """Deleted, and only waiting for its grace period, its finalizers or its dependents."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def with_metadata(obj: Object, **fields: object) -> Object:
    """A copy with these metadata fields set; the ones given as None are left out."""
    metadata = {k: v for k, v in (obj["metadata"] | fields).items() if v is not None}
    return obj | {"metadata": metadata}


def owner_reference(owner: Object, api_version: str, kind: str) -> Object:
    """The reference that makes `owner` the one controller of an object."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Object) -> Object | None:
    """The reference to the object's one controller, if it has any."""
    references = obj["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def is_controlled_by(obj: Object, owner: Object) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == owner["metadata"]["uid"]


def condition(obj: Object, kind: str) -> Object | None:
    """``status.conditions[type=kind]``."""
    conditions = obj.get("status", {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), None)


def time_of(text: str | None) -> datetime | None:
    """An RFC 3339 time, as every ``metav1.Time`` is written."""
    return datetime.fromisoformat(text) if text else None


def text_of(time: datetime) -> str:
    """A ``metav1.Time``: RFC 3339 in UTC, whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def creation_order(obj: Object) -> tuple[str, str]:
    """Sorts the oldest first, and what is equally old by name."""
    return (obj["metadata"].get("creationTimestamp") or "", obj["metadata"]["name"])
