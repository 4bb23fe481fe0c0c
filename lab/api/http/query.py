"""What the query of a request asks for, checked."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping

from lab.api.errors import ApiError, bad_request, expired
from lab.api.http.routing import Target
from lab.api.renaming import selector_for_stored
from lab.api.selectors import FieldSelector, Selector
from lab.api.watching import Filter


def flag(query: Mapping[str, str], name: str) -> bool:
    """Whether a switch is on: ``watch=true``, ``watch=1``, ``watch``."""
    return name in query and query[name].lower() not in ("false", "0")


def number(query: Mapping[str, str], name: str) -> int | None:
    """A whole number that is not negative; None if it is not given."""
    text = query.get(name, "")
    if not text:
        return None
    if not text.isdecimal():
        raise bad_request(f"{name}: Invalid value: {json.dumps(text)}: expected a number that is not negative")
    return int(text)


def dry_run(query: Mapping[str, str]) -> bool:
    given = query.get("dryRun", "")
    if given not in ("", "All"):
        raise bad_request(f'dryRun: Unsupported value: {json.dumps(given)}: supported values: "All"')
    return given == "All"


def field_validation(query: Mapping[str, str]) -> str:
    """What to do with fields that the kind has not: Ignore, Warn (the default) or Strict."""
    given = query.get("fieldValidation", "") or "Warn"
    if given not in ("Ignore", "Warn", "Strict"):
        raise bad_request(
            f'fieldValidation: Unsupported value: {json.dumps(given)}: supported values: "Ignore", "Strict", "Warn"'
        )
    return given


def filter_of(target: Target, query: Mapping[str, str]) -> Filter:
    """Which objects a list, a watch or a deletion of many is about."""
    labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
    selector = FieldSelector.parse(fields, target.resource.fields) if fields else None
    return Filter(
        target.resource.stored,
        target.namespace or None,
        Selector.parse(labels) if labels else None,
        selector_for_stored(target.resource, selector) if selector else None,
    )


def continue_token(version: int, key: str) -> str:
    """Where the next part of a list begins, and the version that it shows."""
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": key}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parsed_token(token: str) -> tuple[int, str]:
    """The version and key of a token. ApiError 400 if it is none."""
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(found["rv"]), str(found["start"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise bad_request("continue key is not valid: it is not one that this server gave out") from None


def expired_token() -> ApiError:
    """The history no longer reaches back to the version of a token."""
    return expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter."
    )
