"""One agent programs a network namespace: a second one would undo the first one's work, and each the other's for ever.

An abstract UNIX socket (unix(7)) belongs to a network namespace, as the rules do, and is gone with the process that
has it, however that ends. So an agent begins with taking a name there; and where another one has it, waits for that to
end: a pod that is replaced, or a process that was told to stop, is often still there when the next one starts.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from dataplane.interface import DataplaneError

_log = logging.getLogger(__name__)

_NAME = "\0svcplane/agent"

#: Seconds to wait for another agent's end: twice as long as a pod is given, unless it asks for more.
PATIENCE = 60.0
_INTERVAL = 0.1

_CREDENTIALS = struct.Struct("=iII")  # struct ucred of linux/socket.h: process, user, group


class _Holder(NamedTuple):
    """Who has the name. A process in another PID namespace has the number 0."""

    process: int
    user: int


@contextlib.contextmanager
def alone(patience: float = PATIENCE, pause: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Within, no other agent runs in the calling thread's network namespace.

    Waits for one that does, so many seconds at most; then DataplaneError. A process of another user may have taken the
    name only to be in the way: that is said, and not waited for.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as own:
        until, told = time.monotonic() + patience, False
        while not _take(own):
            holder = _holder()
            if holder is not None and holder.user != os.geteuid():
                _log.warning(
                    "a process of user %d has the name of svcplane's agent: another one would not be noticed",
                    holder.user,
                )
                break
            if not told:
                _log.warning("waiting for %s to end, %g s at most: %s", _called(holder), patience, _WHY)
                told = True
            if time.monotonic() >= until:
                raise DataplaneError(f"{_called(holder)} has not ended in {patience:g} s: {_WHY}")
            pause(_INTERVAL)
        yield


_WHY = "two agents in one network namespace would undo each other's work"


def _called(holder: _Holder | None) -> str:
    number = f", process {holder.process}," if holder is not None and holder.process else ""
    return f"another svcplane agent{number}"


def _take(own: socket.socket) -> bool:
    try:
        own.bind(_NAME)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    own.listen()
    return True


def _holder() -> _Holder | None:
    """None if it has just ended, or does not say."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(_NAME)
        except OSError:
            return None
        process, user, _ = _CREDENTIALS.unpack(
            asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        return _Holder(process, user)
