"""The label that tells pods of one template from those of another: ``pod-template-hash``."""

from __future__ import annotations

import json
import zlib

from lab.api.errors import Object

LABEL = "pod-template-hash"

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no 0, 1 and 3: no words come out by accident


def template_hash(template: Object, collisions: int = 0) -> str:
    """A short word for this template. `collisions` gives another one when a word is taken by another template."""
    text = json.dumps([template, collisions] if collisions else template, sort_keys=True)
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(zlib.crc32(text.encode())))


def same_template(one: Object, other: Object) -> bool:
    """Whether two templates differ in nothing but the label."""
    return _without_hash(one) == _without_hash(other)


def with_hash(template: Object, word: str) -> Object:
    metadata = template.get("metadata") or {}
    return template | {"metadata": metadata | {"labels": (metadata.get("labels") or {}) | {LABEL: word}}}


def _without_hash(template: Object) -> Object:
    metadata = template.get("metadata") or {}
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if name != LABEL}
    rest = {k: v for k, v in metadata.items() if v and k not in ("labels", "creationTimestamp")}
    return template | {"metadata": rest | {"labels": labels}}
