"""The lab's API server in a thread of its own, for tests that talk HTTP to it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from lab.api.server import ApiServer
from lab.api.store import Store
from patience import PATIENCE

T = TypeVar("T")


class Served:
    """A server in a thread of its own. The store belongs to that thread: reach it through `call`."""

    def __init__(self, *, listening: socket.socket | None = None, **options: Any) -> None:
        """`listening`: where, if not on a free port of 127.0.0.1. `options` are the store's."""
        self.store = Store(seed=1, **options)
        self.server = ApiServer(
            self.store, address="192.0.2.10", bookmarks=0.05, logs=lambda pod: f"I am {pod['metadata']['name']}\n"
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = listening or socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        asyncio.run_coroutine_threadsafe(self.server.start([listening]), self._loop).result(PATIENCE)

    def call(self, work: Callable[[], T]) -> T:
        """Do this in the server's thread."""

        async def do() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(PATIENCE)

    def run(self, work: Coroutine[None, None, T]) -> T:
        """Run this in the server's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    @property
    def watches(self) -> list[object]:
        """The watches that are running."""
        return self.call(lambda: list(self.server.faults.watches))

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
