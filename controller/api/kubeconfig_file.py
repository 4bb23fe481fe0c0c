"""What kubeconfig files say, merged as kubectl merges them, before anything is made of it.

Only the context that is used has to make sense; there, whatever is unknown is refused by name, because a field that
is silently ignored is a wrong server or a wrong user.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from controller import small_file
from controller.api.credential import Source
from controller.api.errors import CredentialError
from dataplane.errors import InputError


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A stanza in which every field counts. ``null`` and a missing field mean the same."""


class Cluster(_Strict, frozen=True):
    server: str | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool | None = None
    tls_server_name: str | None = None
    proxy_url: str | None = None
    disable_compression: bool | None = None
    extensions: list[dict[str, Any]] | None = None


class Variable(_Strict, frozen=True):
    name: str
    value: str


class Exec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    api_version: str
    command: str
    args: tuple[str, ...] | None = None
    env: tuple[Variable, ...] | None = None
    install_hint: str | None = None
    provide_cluster_info: bool | None = None
    interactive_mode: str | None = None


class User(_Strict, frozen=True):
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    username: str | None = None
    password: str | None = None
    exec: Exec | None = None
    extensions: Any = None


class Context(_Strict, frozen=True):
    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None
    extensions: Any = None


class _Named(msgspec.Struct):
    """An element of ``clusters``, ``users`` or ``contexts``; what it names is looked at only when it is used."""

    name: str
    cluster: dict[str, Any] | None = None
    user: dict[str, Any] | None = None
    context: dict[str, Any] | None = None


class _File(_Strict, frozen=True):
    api_version: str | None = msgspec.field(default=None, name="apiVersion")
    kind: str | None = None
    preferences: Any = None
    clusters: tuple[_Named, ...] | None = None
    users: tuple[_Named, ...] | None = None
    contexts: tuple[_Named, ...] | None = None
    current_context: str | None = None
    extensions: Any = None


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stanza stands: for error messages, and for paths, which are relative to its file."""

    file: Path
    stanza: str = ""

    def wrong(self, what: str) -> InputError:
        stanza = f", {self.stanza}" if self.stanza else ""
        return InputError(f"kubeconfig {self.file}{stanza}: {what}")

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """Credentials that turn out unusable inside are this stanza's fault."""
        try:
            yield
        except CredentialError as error:
            raise self.wrong(str(error)) from error

    def convert(self, value: Any, kind: type[_T]) -> _T:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise self.wrong(str(error)) from error

    def source(self, field: str, data: str | None, path: str | None) -> Source | None:
        """The content given in base64 as ``field-data``, or else in the file that ``field`` names."""
        if data:
            try:
                return base64.b64decode("".join(data.split()), validate=True)
            except (binascii.Error, ValueError) as error:
                raise self.wrong(f"{field}-data is not base64 ({error})") from error
        return self.file.parent / path if path else None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The cluster and the user of one context, each with its place."""

    cluster: Cluster
    cluster_place: Place
    user: User
    user_place: Place


class Merged:
    """Several files as one: of each name, and of current-context, the first counts."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        """At least one file. Raises InputError for what cannot be read or is no kubeconfig."""
        self._place = Place(files[0])
        self._current = ""
        self._clusters: dict[str, tuple[Path, Any]] = {}
        self._users: dict[str, tuple[Path, Any]] = {}
        self._contexts: dict[str, tuple[Path, Any]] = {}
        for path in files:
            content = _parse(path)
            self._current = self._current or content.current_context or ""
            for entry in content.clusters or ():
                self._clusters.setdefault(entry.name, (path, entry.cluster))
            for entry in content.users or ():
                self._users.setdefault(entry.name, (path, entry.user))
            for entry in content.contexts or ():
                self._contexts.setdefault(entry.name, (path, entry.context))

    def choose(self, name: str = "") -> Chosen:
        """What a context (the current one if no name is given) stands for. Raises InputError."""
        name = name or self._current
        if not name:
            raise self._place.wrong(f"no current-context is set (contexts: {_listing(self._contexts)})")
        place, context = _find("context", name, self._contexts, Context, self._place)
        if not context.cluster:
            raise place.wrong("it names no cluster")
        cluster_place, cluster = _find("cluster", context.cluster, self._clusters, Cluster, place)
        if not context.user:
            return Chosen(cluster, cluster_place, User(), place)
        user_place, user = _find("user", context.user, self._users, User, place)
        return Chosen(cluster, cluster_place, user, user_place)


def _find(
    what: str, name: str, known: Mapping[str, tuple[Path, Any]], kind: type[_T], asking: Place
) -> tuple[Place, _T]:
    if name not in known:
        raise asking.wrong(f'there is no {what} "{name}" (known: {_listing(known)})')
    path, stanza = known[name]
    place = Place(path, f'{what} "{name}"')
    if what == "user" and "auth-provider" in (stanza or {}):
        raise place.wrong("auth-provider is not supported, as in kubectl since 1.26 (expected: exec)")
    return place, place.convert(stanza or {}, kind)


def _listing(names: Mapping[str, object]) -> str:
    return ", ".join(names) or "none"


def _parse(path: Path) -> _File:
    place = Place(path)
    try:
        content = yaml.safe_load(small_file.read(path))
    except OSError as error:
        raise place.wrong(f"cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise place.wrong(f"is not YAML: {' '.join(str(error).split())}") from error
    file = place.convert({} if content is None else content, _File)
    if (file.api_version or "v1", file.kind or "Config") != ("v1", "Config"):
        raise place.wrong(f"is {file.api_version} {file.kind} (expected v1 Config)")
    return file
