"""Who we are to the API server: a credential, and where it comes from."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from controller import small_file
from controller.api.errors import CredentialError

#: Either the content itself, or the file that holds it. Files are read again now and then: they are rotated.
Source: TypeAlias = bytes | Path

#: How long a file's content is believed, in seconds. Tokens in files are good for at least some minutes more.
REREAD_SECONDS = 60.0


def read(source: Source) -> bytes:
    """The content. Raises CredentialError when the file cannot be read."""
    if isinstance(source, bytes):
        return source
    try:
        return small_file.read(source)
    except OSError as error:
        raise CredentialError(f"cannot read {source}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Credential:
    """What one request carries. Nothing in it means anonymous. Secrets are kept out of its repr, and so of logs."""

    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        if self.username:
            pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}


class CredentialSource(Protocol):
    """Where credentials come from."""

    async def fetch(self) -> tuple[Credential, float]:
        """A credential, and for how many seconds it may be used before it is fetched again (may be infinite).

        Raises CredentialError.
        """


@dataclass(frozen=True, slots=True)
class FixedSource:
    """Contents that were given, and files that are read again every minute."""

    token: Source = field(default=b"", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    certificate: Source = b""
    key: Source = field(default=b"", repr=False)

    def read(self) -> Credential:
        token = read(self.token).strip()
        try:
            # A token goes into a header, where only these characters may stand.
            text = token.decode("ascii")
        except UnicodeDecodeError as error:
            raise CredentialError("the token is not ASCII text") from error
        if not text.isprintable():
            raise CredentialError("the token has control characters or line breaks in it")
        if not text and isinstance(self.token, Path):
            raise CredentialError(f"{self.token} is empty (expected a token)")
        return Credential(text, self.username, self.password, read(self.certificate), read(self.key))

    async def fetch(self) -> tuple[Credential, float]:
        rotated = any(isinstance(source, Path) for source in (self.token, self.certificate, self.key))
        return self.read(), REREAD_SECONDS if rotated else math.inf
