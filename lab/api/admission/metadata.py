"""ObjectMeta: what the server sets, what an update must not change, and which names are allowed."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lab.api.errors import FieldError, Object, duplicate, invalid, required, too_long

if TYPE_CHECKING:
    from lab.api.registry import Resource

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words; nothing that looks like something else
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_ANNOTATIONS_LIMIT = 256 * 1024

NOT_A_DNS_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    " with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
NOT_A_DNS_1035_LABEL = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is"
    " '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
NOT_A_DNS_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_NOT_A_LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NOT_A_QUALIFIED_NAME = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def dns_label(field: str, text: str) -> Iterator[FieldError]:
    """RFC 1123: the usual rule for a name that becomes a label in DNS."""
    if len(text) > 63:
        yield invalid(field, text, "must be no more than 63 characters")
    if not _DNS_LABEL.fullmatch(text):
        yield invalid(field, text, NOT_A_DNS_LABEL)


def dns_1035_label(field: str, text: str) -> Iterator[FieldError]:
    """RFC 1035: like RFC 1123, but no digit in front. The rule for names of Services."""
    if len(text) > 63:
        yield invalid(field, text, "must be no more than 63 characters")
    if not _DNS_1035.fullmatch(text):
        yield invalid(field, text, NOT_A_DNS_1035_LABEL)


def dns_subdomain(field: str, text: str) -> Iterator[FieldError]:
    """Labels with dots between: the rule for most names."""
    if len(text) > 253:
        yield invalid(field, text, "must be no more than 253 characters")
    if not _DNS_SUBDOMAIN.fullmatch(text):
        yield invalid(field, text, NOT_A_DNS_SUBDOMAIN)


def qualified_name(field: str, text: str) -> Iterator[FieldError]:
    """The key of a label or annotation: ``name`` or ``example.com/name``."""
    prefix, slash, name = text.rpartition("/")
    if slash:
        if not prefix:
            yield invalid(field, text, "prefix part must be non-empty")
        elif len(prefix) > 253 or not _DNS_SUBDOMAIN.fullmatch(prefix):
            yield invalid(field, text, f"prefix part {NOT_A_DNS_SUBDOMAIN}")
    if not name:
        yield invalid(field, text, "name part must be non-empty")
    elif len(name) > 63:
        yield invalid(field, text, "name part must be no more than 63 characters")
    if not _QUALIFIED_NAME.fullmatch(name):
        yield invalid(field, text, _NOT_A_QUALIFIED_NAME)


def labels(field: str, given: dict[str, str] | None) -> Iterator[FieldError]:
    """Keys and values of labels, or of a selector made of labels."""
    for key, value in (given or {}).items():
        yield from qualified_name(field, key)
        if len(value) > 63:
            yield invalid(field, value, "must be no more than 63 characters")
        if not _LABEL_VALUE.fullmatch(value):
            yield invalid(field, value, _NOT_A_LABEL_VALUE)


def prepare_new(resource: Resource, obj: Object, now: str, rng: random.Random) -> None:
    """Set what the server sets on a new object, whatever the client sent."""
    metadata = obj["metadata"]
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"][:58] + "".join(rng.choices(_SUFFIX_LETTERS, k=5))
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields", "generation"):
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    metadata["creationTimestamp"] = now
    if resource.counts_generations:
        metadata["generation"] = 1


def prepare_update(resource: Resource, obj: Object, old: Object) -> None:
    """Carry over what the server has set; count the generation if anything but metadata and status differs."""
    new, before = obj["metadata"], old["metadata"]
    new.pop("managedFields", None)
    for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
        if field in before:
            new[field] = before[field]
        else:
            new.pop(field, None)
    if before.get("generateName"):
        new.setdefault("generateName", before["generateName"])


def count_generation(resource: Resource, obj: Object, old: Object) -> None:
    """One more, if anything but metadata and status differs."""
    if resource.counts_generations and _desired(obj) != _desired(old):
        obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def _desired(obj: Object) -> Object:
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")}


def validate(resource: Resource, obj: Object) -> Iterator[FieldError]:
    metadata = obj["metadata"]
    name = metadata.get("name", "")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif resource.plural == "services":
        yield from dns_1035_label("metadata.name", name)
    elif resource.plural == "namespaces":
        yield from dns_label("metadata.name", name)
    else:
        yield from dns_subdomain("metadata.name", name)
    yield from labels("metadata.labels", metadata.get("labels"))
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        yield from qualified_name("metadata.annotations", key.lower())
    if sum(len(k) + len(v) for k, v in annotations.items()) > _ANNOTATIONS_LIMIT:
        yield too_long("metadata.annotations", _ANNOTATIONS_LIMIT)
    for finalizer in metadata.get("finalizers") or ():
        yield from qualified_name("metadata.finalizers", finalizer)
    yield from _owners(metadata.get("ownerReferences") or ())


def _owners(references: list[Object] | tuple[()]) -> Iterator[FieldError]:
    path = "metadata.ownerReferences"
    for i, reference in enumerate(references):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(field):
                yield invalid(f"{path}[{i}].{field}", "", "must not be empty")
    controllers = [r for r in references if r.get("controller")]
    if len(controllers) > 1:
        yield invalid(
            path,
            [r.get("name", "") for r in controllers],
            "Only one reference can have Controller set to true.",
        )
    uids = [r.get("uid") for r in references]
    for uid in sorted({u for u in uids if u and uids.count(u) > 1}):
        yield duplicate(path, uid)
