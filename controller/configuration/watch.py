"""Noticing that the file says something else now.

It is read again and again, not watched: a ConfigMap changes by a symbolic link that turns, an editor replaces the
file, and a network file system tells nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from controller import small_file

SECONDS = 2.0  #: between two looks


async def contents(path: Path, seconds: float = SECONDS) -> AsyncIterator[str]:
    """Each new content of the file, beginning with what differs from now. While it can't be read, nothing is new."""
    known = _read(path)
    while True:
        await asyncio.sleep(seconds)
        found = _read(path)
        if found is not None and found != known:
            known = found
            yield found


def _read(path: Path) -> str | None:
    try:
        return small_file.read(path).decode()
    except (OSError, UnicodeDecodeError):
        return None
