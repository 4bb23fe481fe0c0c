"""How drivers are had to receive: moderated as packets come, or polled.

Between two pods it is the sender who is interrupted by its packet: the far end of its cable is received from on its own
processor, packet by packet. Moderation (native/moderation.c) has a busy cable wait a little, and then receives many
packets together. Busy polling has the engine's thread do it, so that the sender only puts packets in the cable, and
both ends of the work are done where the engine is.
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


class Moderation:
    """Of virtual cables, which lack a network card's own: while packets come in large numbers. Where the kernel can not
    be told (before Linux 6.13) it does nothing, and a line at level INFO says so.

    Nothing has to be put back: the queues are there only as long as the cable has our program.
    """

    def __init__(self) -> None:
        self._asked: NapiSettings | None = None
        self._told: NapiSettings | None = None  # by the port's thread, which reads no answers
        try:
            self._asked, self._told = NapiSettings(), NapiSettings()
        except OSError as error:
            _LOG.info("AF_XDP: cables are served packet by packet, as the kernel can not be told to wait: %s", error)
            self.close()

    @property
    def descriptor(self) -> int:
        """For messages to `family`; -1 if there is none."""
        return self._told.fileno() if self._told else -1

    @property
    def family(self) -> int:
        return self._told.family if self._told else 0

    def queues(self, interface: int) -> tuple[int, ...]:
        """The kernel's numbers for its receive queues; none if they are left as they are."""
        if self._told is None or self._asked is None:
            return ()
        try:
            return tuple(sorted(queue.number for queue in self._asked.queues(interface)))
        except (OSError, KeyError) as error:
            _LOG.info("AF_XDP: interface %d is served packet by packet: %s", interface, error)
            return ()

    def close(self) -> None:
        for settings in (self._asked, self._told):
            if settings:
                settings.close()
        self._asked = self._told = None
