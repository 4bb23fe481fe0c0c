"""Events, as the lab's API server gets them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from controller.api.access import Access
from controller.api.client import Client
from controller.events import SERIES_SECONDS, WARNING, EventRecorder, Regarding
from lab.api import registry
from lab.api.server import ApiServer
from lab.api.store import Store
from patience import PATIENCE

WEB = Regarding("Service", "default", "web", "uid-of-web")


@dataclass
class Desk:
    recorder: EventRecorder
    store: Store
    server: ApiServer
    now: float = 1000.0

    def tell(self, note: str = "no port") -> None:
        self.recorder.tell(WEB, WARNING, "FailedToStartServiceHealthcheck", "Listen", note)

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(self.store.list(registry.CORE_EVENTS)[0])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.002)


def with_desk(act: Callable[[Desk], Any]) -> None:
    async def main() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        server = ApiServer(store := Store())
        await server.start([listening])
        async with Client(Access(f"http://127.0.0.1:{listening.getsockname()[1]}")) as client:
            desk = Desk(EventRecorder(client, "n1", lambda: desk.now), store, server)
            sending = asyncio.create_task(desk.recorder.run())
            try:
                await act(desk)
            finally:
                sending.cancel()
                await server.stop()

    asyncio.run(main())


def test_an_event_says_who_did_what_to_whom_and_why() -> None:
    async def act(desk: Desk) -> None:
        desk.tell()
        await desk.until(lambda: len(desk.events) == 1)
        event = desk.events[0]
        metadata = event.pop("metadata")
        assert (metadata["namespace"], metadata["name"].partition(".")[0]) == ("default", "web")
        assert {
            key: event[key]
            for key in ("reportingComponent", "reportingInstance", "reason", "action", "message", "type")
        } == {
            "reportingComponent": "svcplane",
            "reportingInstance": "svcplane-n1",
            "reason": "FailedToStartServiceHealthcheck",
            "action": "Listen",
            "message": "no port",
            "type": "Warning",
        }
        assert event["eventTime"] == "1970-01-01T00:16:40.000000Z"
        regarding = event["involvedObject"]
        assert (regarding["kind"], regarding["namespace"], regarding["name"], regarding["uid"]) == WEB

    with_desk(act)


def test_the_same_news_raises_a_count_and_other_news_is_another_event() -> None:
    async def act(desk: Desk) -> None:
        for _ in range(3):
            desk.tell()
            desk.now += 10
        await desk.until(lambda: [e.get("series", {}).get("count") for e in desk.events] == [3])
        desk.tell("another port")
        await desk.until(lambda: len(desk.events) == 2)

    with_desk(act)


def test_after_a_while_the_same_news_is_a_new_event() -> None:
    async def act(desk: Desk) -> None:
        desk.tell()
        await desk.until(lambda: len(desk.events) == 1)
        desk.now += SERIES_SECONDS
        desk.tell()
        await desk.until(lambda: len(desk.events) == 2)

    with_desk(act)


def test_a_series_whose_event_somebody_deleted_begins_anew() -> None:
    async def act(desk: Desk) -> None:
        desk.tell()
        await desk.until(lambda: len(desk.events) == 1)
        name = desk.events[0]["metadata"]["name"]
        desk.store.delete(registry.CORE_EVENTS, "default", name)
        desk.tell()
        await desk.until(lambda: [e["metadata"]["name"] for e in desk.events] not in ([], [name]))

    with_desk(act)


def test_what_cannot_be_sent_is_told_once_in_the_log_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def act(desk: Desk) -> None:
        desk.server.faults.refuse(503, times=2, plural="events")
        for note in ("first", "second", "third"):
            desk.tell(note)
        await desk.until(lambda: [e["message"] for e in desk.events] == ["third"])

    with_desk(act)
    assert [r.message.partition(":")[0] for r in caplog.records if r.name == "controller.events"] == [
        "events can't be sent"
    ]


def test_telling_never_waits_for_an_api_server_that_is_away() -> None:
    async def main() -> None:
        async with Client(Access("http://127.0.0.1:1")) as client:
            recorder = EventRecorder(client, "n1")
            for number in range(10_000):
                recorder.tell_of_node(WARNING, "FailedToSync", "Sync", str(number))

    asyncio.run(main())
