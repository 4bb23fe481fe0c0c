"""From what a client sent to an object of one kind: known fields, right types, or one clear refusal."""

from __future__ import annotations

from lab.api.errors import ApiError, Object, bad_request, invalid_object, required
from lab.api.registry import Resource
from lab.api.schema import Decoder, WrongType


def decoded(resource: Resource, obj: object, *, unknown: list[str] | None = None, complete: bool = True) -> Object:
    """A copy of the object with known fields only. ApiError: 400 (not of this kind), 422 (a required field is missing).

    Unknown fields are put into `unknown`; without it, they are refused. Required fields must be there, unless the
    object is not meant to be `complete`.
    """
    if not isinstance(obj, dict):
        raise bad_request(f"couldn't get version/kind; json parse error: expected an object for {resource.kind}")
    given_version = obj.get("apiVersion") or resource.api_version
    given_kind = obj.get("kind") or resource.kind
    if (given_version, given_kind) != (resource.api_version, resource.kind):
        raise bad_request(
            f"{given_kind} in version {_quoted(given_version)} cannot be handled as a {resource.kind}: "
            f"expected apiVersion {resource.api_version} and kind {resource.kind}"
        )
    decoder = Decoder()
    try:
        parts = decoder.decode(resource.shape, obj)
    except WrongType as why:
        raise bad_request(
            f"{resource.kind} in version {_quoted(resource.version)} cannot be handled as a {resource.kind}: {why}"
        ) from None
    if unknown is not None:
        unknown.extend(decoder.unknown)
    elif decoder.unknown:
        raise strict_decoding_error(resource, [f"unknown field {_quoted(path)}" for path in decoder.unknown])
    metadata = parts.pop("metadata", {})
    if complete and decoder.missing:
        raise invalid_object(resource, metadata.get("name", ""), [required(path) for path in decoder.missing])
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata} | {
        k: v for k, v in parts.items() if k not in ("apiVersion", "kind")
    }


def strict_decoding_error(resource: Resource, problems: list[str]) -> ApiError:
    return bad_request(
        f"{resource.kind} in version {_quoted(resource.version)} cannot be handled as a {resource.kind}: "
        f"strict decoding error: {', '.join(problems)}"
    )


def _quoted(text: str) -> str:
    return f'"{text}"'
