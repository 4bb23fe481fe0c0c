"""What the API server sends for a list and for a watch: bytes in, typed objects out, at once.

A list is one JSON object, perhaps the first of several pages. A watch is one JSON object per line, for as long as it
lasts. Objects that cannot be decoded do not spoil the others: they come out as `Unreadable`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import msgspec

from controller.api.errors import GarbageError, RefusedError, refused
from controller.api.sharing import Sharing
from controller.objects import Object, ObjectKey

T = TypeVar("T", bound=Object)

#: Longer lines are garbage: etcd takes objects of 1.5 MB by default, and few are told to take more.
MAX_LINE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object that the server has and that we can't make sense of. `reason` is one line."""

    key: ObjectKey
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list. `version` is that of the whole list; `rest` asks for the next page ("": this is the last)."""

    objects: tuple[T, ...]
    version: int
    rest: str = ""
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """An object was added or modified, or is gone (`object` is None)."""

    key: ObjectKey
    version: int
    object: T | None


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing happened up to this version."""

    version: int


Event: TypeAlias = Changed[T] | Bookmark | Unreadable


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str
    continue_: str = msgspec.field(default="", name="continue")


class _RawPage(msgspec.Struct):
    metadata: _ListMetadata
    # No default: an answer without items is not an empty list, or a stray `{}` would take every Service down.
    items: tuple[msgspec.Raw, ...] | None


class _RawEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _IdentityMetadata(msgspec.Struct, rename="camel"):
    resource_version: str
    name: str = ""
    namespace: str = ""


class _Identity(msgspec.Struct):
    """Of an object, only which one it is, and which version."""

    metadata: _IdentityMetadata


class _StatusDetails(msgspec.Struct, rename="camel"):
    retry_after_seconds: int = 0


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _StatusDetails | None = None


class Decoder(Generic[T]):
    """Decodes what the server says about one kind of object."""

    def __init__(self, kind: type[T]) -> None:
        self._page = msgspec.json.Decoder(_RawPage)
        self._event = msgspec.json.Decoder(_RawEvent)
        self._object = msgspec.json.Decoder(kind)
        self._sharing = Sharing()

    def page(self, body: bytes) -> Page[T]:
        """Raises GarbageError."""
        try:
            raw = self._page.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise GarbageError(f"sent no list: {error}: {_excerpt(body)}") from error
        objects: list[T] = []
        unreadable: list[Unreadable] = []
        for item in raw.items or ():
            decoded = self._decode(item)
            if isinstance(decoded, Unreadable):
                unreadable.append(decoded)
            else:
                objects.append(decoded)
        version = _version(raw.metadata.resource_version)
        return Page(tuple(objects), version, raw.metadata.continue_, tuple(unreadable))

    def event(self, line: bytes) -> Event[T]:
        """Raises GarbageError, and for an ERROR event the RefusedError that it stands for."""
        try:
            raw = self._event.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise GarbageError(f"sent no watch event: {error}: {_excerpt(line)}") from error
        if raw.type in ("ADDED", "MODIFIED"):
            decoded = self._decode(raw.object)
            if isinstance(decoded, Unreadable):
                return decoded
            return Changed(decoded.metadata.key, int(decoded.metadata.resource_version), decoded)
        if raw.type == "ERROR":
            raise status_error("ended the watch", 0, bytes(raw.object))
        key, version = _identity(raw.object)
        if raw.type == "DELETED":
            return Changed(key, version, None)
        if raw.type == "BOOKMARK":
            return Bookmark(version)
        raise GarbageError(f"sent a watch event of unknown type: {_excerpt(line)}")

    def _decode(self, raw: msgspec.Raw) -> T | Unreadable:
        try:
            decoded = self._object.decode(raw)
            _version(decoded.metadata.resource_version)
            if not decoded.metadata.name:
                raise GarbageError(f"sent an object without a name: {_excerpt(bytes(raw))}")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Unreadable(*_identity(raw), str(error))
        return self._sharing.share(decoded)


def status_error(what: str, status: int, body: bytes) -> RefusedError:
    """The error for an answer that is a Status object, or should be one. `status` 0: take it from the object."""
    try:
        answer = msgspec.json.decode(body, type=_Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        answer = _Status(message=_excerpt(body))
    code = status or answer.code
    message = " ".join(answer.message.split())[:500] or answer.reason or "no reason given"
    retry_after = answer.details.retry_after_seconds if answer.details else 0
    return refused(f"{what} with {code}: {message}", code, answer.reason, max(0.0, float(retry_after)))


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cut a stream at its line ends, in linear time whatever the length of a line. Blank lines are left out.

    Raises GarbageError for a line that does not end in `MAX_LINE_BYTES`. What follows the last line end is dropped:
    it was cut off.
    """
    pieces: list[bytes] = []
    size = 0
    async for chunk in chunks:
        *ended, begun = chunk.split(b"\n")
        for end in ended:
            pieces.append(end)
            line = b"".join(pieces)
            pieces.clear()
            size = 0
            if line.strip():
                yield line
        pieces.append(begun)
        size += len(begun)
        if size > MAX_LINE_BYTES:
            raise GarbageError(f"sent a line of more than {MAX_LINE_BYTES >> 20} MB: {_excerpt(pieces[0])}")


def _identity(raw: msgspec.Raw) -> tuple[ObjectKey, int]:
    try:
        metadata = msgspec.json.decode(raw, type=_Identity).metadata
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GarbageError(f"sent something that is no object: {error}: {_excerpt(bytes(raw))}") from error
    return (metadata.namespace, metadata.name), _version(metadata.resource_version)


def _version(text: str) -> int:
    """Versions count up, so that newer and older can be told; Kubernetes promises it for all its own kinds."""
    if not (text.isascii() and text.isdigit()):
        raise GarbageError(f'sent the resourceVersion "{text[:40]}" (expected a decimal number)')
    return int(text)


def _excerpt(body: bytes) -> str:
    return " ".join(body[:200].decode(errors="replace").split()) or "an empty answer"
