"""Busy polling: the engine's thread does the drivers' work too, instead of whoever was interrupted by a packet.

Between two pods that is the sender: the far end of its cable is received from on its own processor. With busy polling
it only puts packets in the cable, which lets it send more, and both ends of the work are done where the engine is.
"""

from __future__ import annotations

import contextlib
import logging

from dataplane.netlink.napi import Deferral, NapiSettings

_LOG = logging.getLogger(__name__)

_POLLS, _NANOSECONDS = 100, 200_000
"""A driver that finds nothing for 100 x 200 us goes back to interrupts: the engine's thread has gone to sleep."""


class Polling:
    """Of the interfaces that were asked for; they are as they were after `end`. Does nothing, and says so once, where
    the kernel can not be told (before Linux 6.13): then drivers go on being interrupted, and polled besides."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[Deferral, ...]] = {}
        self._settings: NapiSettings | None = None
        try:
            self._settings = NapiSettings()
        except OSError as error:
            _LOG.warning("busy polling: interrupts stay, as the kernel can not be told to do without: %s", error)

    def begin(self, interface: int) -> None:
        if self._settings is None:
            return
        try:
            before = self._settings.queues(interface)
            for queue in before:
                self._settings.set(queue._replace(polls=_POLLS, nanoseconds=_NANOSECONDS))
            self._before[interface] = before
        except (OSError, KeyError) as error:
            _LOG.warning("busy polling: interrupts stay for interface %d: %s", interface, error)

    def end(self, interface: int) -> None:
        for queue in self._before.pop(interface, ()):
            # An interface that is gone has no settings.
            with contextlib.suppress(OSError):
                if self._settings:
                    self._settings.set(queue)

    def close(self) -> None:
        if self._settings:
            self._settings.close()
