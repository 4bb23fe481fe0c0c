"""The reflector: keeps a sink equal to what the API server has, whatever happens in between.

    list ──────────► sink.replace(everything)      all pages of one version V
      ▲               │
      │ 410 Gone      ▼
      └──────────── watch from V ──► sink.change(key, object)     each event moves V on
                      │      ▲
                      └──────┘  the watch ended or broke: watch again from the V reached, without a new list

A list costs the server and the network much, a watch next to nothing, so only a version that the server no longer
knows leads back to the list. What happened while nobody watched is then seen as the difference between two lists.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, NoReturn, Protocol, TypeVar

from controller.api.backoff import Backoff
from controller.api.client import PAGE_SIZE, Client
from controller.api.errors import (
    ApiServerError,
    ExpiredError,
    GarbageError,
    RefusedError,
    UnreachableError,
)
from controller.api.resources import Resource
from controller.api.wire import Bookmark, Changed, Event, Unreadable
from controller.objects import Object, ObjectKey

_log = logging.getLogger(__name__)

T = TypeVar("T", bound=Object)
T_contra = TypeVar("T_contra", bound=Object, contravariant=True)

#: For how long a watch is asked for, in seconds, at random between these two: so that they do not all end at once.
WATCH_SECONDS = (300.0, 600.0)

#: A watch that lasted so many seconds was a good one: what ends it is not one more failure in a row.
STEADY_SECONDS = 5.0

#: The longest wait, in seconds, while nothing answers at all, or watches are cut off. Asking costs little then, as a
#: watch resumes without a list, and packets go where they should no longer go until the server's return is noticed.
ABSENT_SERVER_SECONDS = 5.0

#: How long until a kind of object that the server does not have, or not for us, is asked for again.
ABSENT_SECONDS = 300.0

#: The longest that a server is obeyed when it says how many seconds to wait.
MOST_PATIENT_SECONDS = 60.0


class Sink(Protocol[T_contra]):
    """Where objects go. Both methods must tolerate being told what they know already."""

    def replace(self, objects: Mapping[ObjectKey, T_contra]) -> None:
        """These are all the objects there are. What is not among them is gone. The mapping stays as it is."""

    def change(self, key: ObjectKey, new: T_contra | None, /) -> None:
        """One object is now like this, or is gone (None)."""


class Reflector(Generic[T]):
    """Lists and watches one resource, for as long as `run` runs.

    An object that cannot be decoded counts as absent, loudly: what the sink holds then depends only on what the
    server has, and not on what we happened to see before. `unreadable` tells which, and why.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        sink: Sink[T],
        *,
        page_size: int = PAGE_SIZE,
        backoff: Backoff | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`pause` is what waits between two attempts."""
        self.resource = resource
        self.synced = asyncio.Event()  #: set once the first complete list is in the sink
        self.connected = False  #: a watch is open right now
        self.lists = 0  #: complete lists that were read
        self.last_contact: float | None = None  #: when the server last said anything sensible (time.monotonic())
        self.last_error: ApiServerError | None = None  #: what is wrong now; None while all is well
        self.unreadable: dict[ObjectKey, str] = {}  #: objects that could not be decoded, with the reason
        self._client = client
        self._sink = sink
        self._page_size = page_size
        self._backoff = backoff or Backoff()  # from a server that answers, and not as it should
        self._while_absent = Backoff(most=ABSENT_SERVER_SECONDS)  # from one that does not answer
        self._pause = pause
        self._version: int | None = None  # everything up to here is in the sink; None: it has to be listed
        self._versions: dict[ObjectKey, int] = {}  # of each object in the sink

    async def run(self) -> NoReturn:
        """Until cancelled. Only the sink's own exceptions come out."""
        while True:
            await self._pause(await self._round())

    async def _round(self) -> float:
        """List if need be, and watch to the end. Returns the seconds to wait before the next round."""
        resumed = self._version is not None
        began: float | None = None
        error: ApiServerError | None = None
        from_version, contact = self._version, self.last_contact
        try:
            if from_version is None:
                from_version = self._version = await self._list()
            began = time.monotonic()
            await self._watch(from_version)
        except ApiServerError as caught:
            error = self.last_error = caught
        finally:
            self.connected = False
        if isinstance(error, RefusedError) and self._is_absent(error):
            return self._absent(error)
        progressed = self._version != from_version
        if isinstance(error, ExpiredError) or (error is not None and not progressed and _is_hopeless(error)):
            self._version = None
        steady = began is not None and time.monotonic() - began >= STEADY_SECONDS
        if steady or progressed:
            self._backoff.reset()
        if error is not None:
            _log.warning("%s: %s", self.resource.name, error)
        if (steady and error is None) or (resumed and isinstance(error, ExpiredError)):
            return 0.0
        if isinstance(error, UnreachableError) and (began is not None or self.last_contact == contact):
            return self._while_absent.next()
        self._while_absent.reset()
        asked = min(error.retry_after, MOST_PATIENT_SECONDS) if isinstance(error, RefusedError) else 0.0
        return max(self._backoff.next(), asked)

    async def _list(self) -> int:
        """All pages into the sink. Returns the list's version."""
        try:
            return await self._list_in_pages(self._page_size)
        except ExpiredError:
            if self._page_size == 0:
                raise
            # The list took longer than the server remembers. In one piece it can't happen.
            return await self._list_in_pages(0)

    async def _list_in_pages(self, page_size: int) -> int:
        objects: dict[ObjectKey, T] = {}
        unreadable: list[Unreadable] = []
        version: int | None = None
        async for page in self._client.list_pages(self.resource, page_size):
            self.last_contact = time.monotonic()
            # All pages have the same version. Should they not, from the oldest on nothing is missed.
            version = page.version if version is None else min(version, page.version)
            objects.update((item.metadata.key, item) for item in page.objects)
            unreadable += page.unreadable
        assert version is not None, "a list has at least one page"
        self._versions = {key: int(item.metadata.resource_version) for key, item in objects.items()}
        self.unreadable.clear()
        for item in unreadable:
            self._report(item)
        self._sink.replace(objects)
        self.lists += 1
        self.synced.set()
        self.last_error = None
        return version

    async def _watch(self, version: int) -> None:
        seconds = random.uniform(*WATCH_SECONDS)
        async with self._client.watch(self.resource, version, seconds) as events:
            self.connected = True
            self.last_contact = time.monotonic()
            self.last_error = None
            async for event in events:
                self.last_contact = time.monotonic()
                self._take(event)

    def _take(self, event: Event[T]) -> None:
        """One event of the watch, in the order of the server's history."""
        reached = self._version or 0
        match event:
            case Bookmark(version):
                if version < reached:
                    raise ExpiredError(f"the server's history went back from {reached} to {version}", 410)
            case Changed(key, version, None):
                # The version of a deletion may be its own, or that of the object as it last was.
                known = self._versions.get(key)
                if known is not None and version >= known:
                    self._forget(key)
                self.unreadable.pop(key, None)
            case Changed(key, version, item):
                if version > reached:
                    self.unreadable.pop(key, None)
                    self._versions[key] = version
                    self._sink.change(key, item)
            case Unreadable(key, version):
                if version > reached:
                    self._report(event)
                    if key in self._versions:
                        self._forget(key)
        self._version = max(reached, event.version)

    def _forget(self, key: ObjectKey) -> None:
        del self._versions[key]
        self._sink.change(key, None)

    def _report(self, item: Unreadable) -> None:
        self.unreadable[item.key] = item.reason
        name = "/".join(part for part in item.key if part)
        _log.error("%s %s is left out, as it can't be read: %s", self.resource.name, name, item.reason)

    def _is_absent(self, error: RefusedError) -> bool:
        """Whether we have to do without this kind.

        An older server does not have it; and the role that we were given there may be older too, in which case it says
        403 even of what it does not have.
        """
        never_seen = self.lists == 0
        return self.resource.optional and (error.status == 404 or (error.status == 403 and never_seen))

    def _absent(self, error: RefusedError) -> float:
        """The same as having none of this kind, until the server or our role is updated."""
        if not self.synced.is_set():
            _log.warning("%s: doing without: %s", self.resource.name, error)
        self._version, self._versions, self.last_error = None, {}, None
        self.last_contact = time.monotonic()
        self._sink.replace({})
        self.synced.set()
        return ABSENT_SECONDS * random.uniform(0.8, 1.2)


def _is_hopeless(error: ApiServerError) -> bool:
    """Whether the same watch, asked for once more, would fail in the same way: then only a new list leads on.

    Not so when the server is busy (429), starting (5xx), or does not know us yet (401, 403).
    """
    if isinstance(error, RefusedError):
        return error.status < 500 and error.status not in (401, 403, 429)
    return isinstance(error, GarbageError)
