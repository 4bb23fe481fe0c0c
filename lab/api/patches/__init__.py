"""The ways to change parts of an object: merge patch, strategic merge patch, JSON patch. Pure functions."""

from __future__ import annotations

import enum
from typing import Any

from lab.api.errors import Object, bad_request
from lab.api.patches.json_patch import json_patch
from lab.api.patches.merge import merge_patch
from lab.api.patches.strategic import strategic_merge
from lab.api.schema import Record


class Kind(enum.StrEnum):
    """How a patch is written; the value is its media type."""

    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    JSON = "application/json-patch+json"


def apply(kind: Kind, shape: Record, obj: Object, patch: Any) -> Any:
    """The object with the patch applied; both stay as they are. ApiError: 400 (no such patch), 422 (does not apply)."""
    expected = list if kind is Kind.JSON else dict
    if not isinstance(patch, expected):
        raise bad_request(f"error decoding patch: expected {'a list' if kind is Kind.JSON else 'an object'}")
    match kind:
        case Kind.JSON:
            return json_patch(obj, patch)
        case Kind.STRATEGIC:
            return strategic_merge(shape, obj, patch)
        case Kind.MERGE:
            return merge_patch(obj, patch)
