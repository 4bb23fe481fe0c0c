"""Names that nft can read back and people can read at all."""

from __future__ import annotations

import hashlib
import re

_LONGEST = 200  # the kernel takes 255 bytes; the rest is for what callers put in front and behind
_HASH_LENGTH = 8
_SERVICE_PORT = re.compile(r"[a-z0-9.-]+/[a-z0-9.-]+(:[a-z0-9.-]+)?(/(TCP|UDP|SCTP))?")


def label(text: str) -> str:
    """A name of any kind as part of an nft name: letters, digits and ``/-_.`` only, and not too long.

    Different names stay different: what is not simply ``namespace/name:port/PROTOCOL`` gets a hash behind it.
    """
    plain = text.replace(":", "/")
    if _SERVICE_PORT.fullmatch(text) and len(plain) <= _LONGEST:
        return plain
    readable = re.sub(r"[^A-Za-z0-9/_.-]", "-", text)
    return f"{readable[: _LONGEST - _HASH_LENGTH - 1]}.{_hash(text)}"


def bounded(name: str, longest: int = 255) -> str:
    """The name, or if it is too long its beginning and a hash of the whole."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - _HASH_LENGTH - 1]}.{_hash(name)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
