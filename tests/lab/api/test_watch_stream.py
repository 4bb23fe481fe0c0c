"""A bookmark says that everything up to its version has been told. It must be true."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from lab.api.http.routing import Target
from lab.api.http.views import View
from lab.api.http.watch_stream import WatchStream
from lab.api.registry import CONFIG_MAPS
from lab.api.store import Store


async def lines(stream: WatchStream) -> AsyncIterator[tuple[str, str]]:
    """(type, name or version) of each event."""
    async for several in stream.lines():
        for line in several.splitlines():
            event: dict[str, Any] = json.loads(line)
            metadata = event["object"]["metadata"]
            yield event["type"], metadata.get("name") or metadata["resourceVersion"]


def test_what_happens_while_the_client_reads_comes_before_the_bookmark() -> None:
    async def story() -> None:
        store = Store()
        store.create(CONFIG_MAPS, {"metadata": {"name": "first"}})
        query = {"allowWatchBookmarks": "true", "timeoutSeconds": "1", "sendInitialEvents": "true"}
        # Bookmarks are always due, so that one follows whatever comes before it at once.
        stream = WatchStream(store, Target(CONFIG_MAPS), query, View(), bookmarks=1e-9)
        told: list[str] = []
        async for kind, what in lines(stream):
            if kind == "BOOKMARK" and "second" not in told and "missed" not in told:
                store.create(CONFIG_MAPS, {"metadata": {"name": "second"}})
                told.append("missed")  # from now on no bookmark may come before the second one
            elif kind == "BOOKMARK":
                assert "second" in told, f"bookmark {what} came before the change that it covers"
                return
            told.append(what)

    asyncio.run(story())


def test_what_happens_as_the_time_runs_out_comes_before_the_last_bookmark() -> None:
    async def story() -> None:
        store = Store()
        store.create(CONFIG_MAPS, {"metadata": {"name": "first"}})
        query = {"allowWatchBookmarks": "true", "timeoutSeconds": "1"}
        told: list[str] = []
        async for _, what in lines(WatchStream(store, Target(CONFIG_MAPS), query, View(), bookmarks=60.0)):
            if not told:
                await asyncio.sleep(1.01)
                store.create(CONFIG_MAPS, {"metadata": {"name": "second"}})
            told.append(what)
        assert told == ["first", "second", str(store.version)]

    asyncio.run(story())
