"""Files that somebody has written, read as far as such files go: a device or a pipe may have no end."""

from __future__ import annotations

import errno
from pathlib import Path

MOST = 4 << 20  #: bytes; a ConfigMap or a Secret has at most one MiB


def read(path: Path) -> bytes:
    """The content. OSError if it cannot be read, or is too long to be meant."""
    with path.open("rb") as file:
        content = file.read(MOST + 1)
    if len(content) > MOST:
        raise OSError(errno.EFBIG, f"it is longer than {MOST >> 20} MiB")
    return content
