"""A thread that calls `XdpPort.follow` whenever links, routes, neighbours or rules have changed."""

from __future__ import annotations

import logging
import os
import select
import threading
from typing import Protocol

from dataplane.netlink.channel import NETLINK_ROUTE, Channel
from dataplane.netlink.routing import GROUPS

_LOG = logging.getLogger(__name__)

_SETTLE = 0.05  #: seconds to wait for what comes together; packets go by the kernel's path meanwhile
_AGAIN = 1.0  #: seconds until an interface that was refused is tried again


class Following(Protocol):
    def follow(self) -> bool:
        """Take notice of how things are. Returns whether to try again soon."""


class Follower:
    """In the network namespace of the thread that makes it. `close` it before what it calls."""

    def __init__(self, port: Following) -> None:
        """Follows once before it returns. OSError if the kernel tells nothing."""
        self._port = port
        self._channel = Channel(NETLINK_ROUTE)
        try:
            for group in GROUPS:
                self._channel.join(group)
            again = port.follow()
        except BaseException:
            self._channel.close()
            raise
        self._ended, self._end = os.pipe2(os.O_CLOEXEC)
        # A new thread is in the namespace of the one that starts it.
        self._thread = threading.Thread(target=self._run, args=(again,), name="xdp-follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.close(self._end)
        self._thread.join()
        os.close(self._ended)
        self._channel.close()

    def _run(self, again: bool) -> None:
        while not self._is_over(_AGAIN if again else None, self._channel.fileno()):
            if self._is_over(_SETTLE):
                return
            # What they say is stale by the time it is read, and some may be lost: only the lists count.
            self._channel.notifications()
            try:
                again = self._port.follow()
            except OSError as error:
                _LOG.warning("AF_XDP: cannot read links and routes, trying again: %s", error)
                again = True

    def _is_over(self, seconds: float | None, *descriptors: int) -> bool:
        """Wait until something can be read, or the time is up. Whether it was the end."""
        readable, _, _ = select.select([self._ended, *descriptors], [], [], seconds)
        return self._ended in readable
