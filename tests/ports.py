"""Ports for tests that listen, end, and listen again, or that must be told a port before anything listens there.

One that the kernel has given away and that is closed again may be somebody else's a moment later: of a test in another
process, or as the near end of a connection. These it gives to nobody who does not ask, and each process has its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
from itertools import cycle

_EACH = 20  #: ports of one process
_FIRST = 11_000 + os.getpid() % 900 * _EACH  # below NodePorts, and what the kernel chooses from
_ports = cycle(range(_FIRST, _FIRST + _EACH))


def own_port(address: str = "127.0.0.1") -> int:
    """A port of this process at which nobody listens."""
    for _ in range(_EACH):
        port = next(_ports)
        with contextlib.suppress(OSError), socket.create_server((address, port)):
            return port
    raise AssertionError(f"none of the ports from {_FIRST} on is free at {address}")
