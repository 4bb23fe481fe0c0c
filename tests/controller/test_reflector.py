"""The reflector against a server that forgets, cuts, lies and refuses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.api.access import Access
from controller.api.backoff import Backoff
from controller.api.client import Client
from controller.api.errors import ApiServerError, GarbageError, RefusedError, UnreachableError
from controller.api.reflector import Reflector
from controller.api.resources import Resource
from controller.objects import ObjectKey, Service
from patience import PATIENCE
from scripted_api import PATH, ScriptedApi, serving, status

SERVICES = Resource(PATH, Service)


class Ports:
    """A sink that remembers of each Service the port, and how often it was given everything."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self.replaced = 0
        self.changes: list[str] = []

    def replace(self, objects: Mapping[ObjectKey, Service]) -> None:
        self.known = {name: self._port(item) for (_, name), item in objects.items()}
        self.replaced += 1

    def change(self, key: ObjectKey, new: Service | None) -> None:
        self.changes.append(key[1])
        if new is None:
            del self.known[key[1]]
        else:
            self.known[key[1]] = self._port(new)

    @staticmethod
    def _port(item: Service) -> int:
        assert item.spec.ports
        return item.spec.ports[0].port


@dataclass
class Running:
    """A reflector at work, and everything to play with around it."""

    api: ScriptedApi
    sink: Ports
    reflector: Reflector[Service]
    pauses: list[float]
    errors: list[ApiServerError | None]  # what was wrong at each pause

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.002)

    async def caught_up(self) -> None:
        await self.until(lambda: self.sink.known == self.api.ports)

    async def watching(self) -> None:
        await self.until(lambda: self.reflector.connected and self.api.watched)


@contextlib.asynccontextmanager
async def running(api: ScriptedApi, *, page_size: int = 500, silence: float = 60) -> AsyncIterator[Running]:
    """A reflector that waits as long as it should only in `pauses`, and in truth next to nothing."""
    sink, pauses, errors = Ports(), list[float](), list[ApiServerError | None]()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        errors.append(reflector.last_error)
        await asyncio.sleep(0.001)

    async with serving(api.handle) as url, Client(Access(url), silence=silence) as client:
        reflector = Reflector(client, SERVICES, sink, page_size=page_size, pause=pause)
        task = asyncio.create_task(reflector.run())
        try:
            yield Running(api, sink, reflector, pauses, errors)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def test_a_complete_list_comes_first_and_then_every_change() -> None:
    async def story() -> None:
        api = ScriptedApi()
        api.put("web", 80)
        async with running(api) as now:
            await now.watching()
            assert now.reflector.synced.is_set()
            assert now.sink.known == {"web": 80}
            api.put("web", 81)
            api.put("dns", 53)
            await now.caught_up()
            api.delete("web")
            await now.caught_up()
            assert now.sink.known == {"dns": 53}
            assert now.sink.replaced == 1
            assert now.reflector.last_error is None
            assert now.reflector.last_contact is not None

    asyncio.run(story())


def test_a_long_list_comes_in_pages_and_reaches_the_sink_as_one() -> None:
    async def story() -> None:
        api = ScriptedApi()
        for number in range(1, 8):
            api.put(f"s{number}", number)
        async with running(api, page_size=3) as now:
            await now.watching()
            assert now.sink.known == api.ports
            assert (now.sink.replaced, len(api.lists), len(api.requests)) == (1, 1, 4)

    asyncio.run(story())


def test_a_list_that_expires_between_two_pages_is_taken_in_one_piece() -> None:
    async def story() -> None:
        api = ScriptedApi()
        for number in range(1, 8):
            api.put(f"s{number}", number)
        forgetful, handle = [True], api.handle

        async def forget_before_the_second_page(request):  # type: ignore[no-untyped-def]
            if "continue" in request.query and forgetful.pop():
                api.forget()
            return await handle(request)

        api.handle = forget_before_the_second_page  # type: ignore[method-assign]
        async with running(api, page_size=3) as now:
            await now.watching()
            assert now.sink.known == api.ports
            assert [query.get("limit") for query in api.lists] == ["3", None]

    asyncio.run(story())


def test_a_watch_asks_for_bookmarks_and_for_five_to_ten_minutes() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api) as now:
            await now.watching()
        (query,) = api.watches
        assert (query["resourceVersion"], query["allowWatchBookmarks"]) == ("100", "true")
        assert 300 <= int(query["timeoutSeconds"]) <= 600

    asyncio.run(story())


@pytest.mark.parametrize("ending", [ScriptedApi.end_watches, ScriptedApi.cut_watches])
def test_after_a_watch_ends_the_next_resumes_without_a_list(ending: Callable[[ScriptedApi], None]) -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api) as now:
            await now.watching()
            api.put("web", 80)
            await now.caught_up()
            ending(api)
            await now.until(lambda: len(api.watches) == 2)
            api.put("dns", 53)
            await now.caught_up()
            assert api.watches[1]["resourceVersion"] == "101"
            assert (len(api.lists), now.sink.replaced) == (1, 1)

    asyncio.run(story())


def test_a_bookmark_moves_the_version_that_the_next_watch_starts_from() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api) as now:
            await now.watching()
            api.bookmark(150)
            api.version = 150
            api.end_watches()
            await now.until(lambda: len(api.watches) == 2)
            assert api.watches[1]["resourceVersion"] == "150"

    asyncio.run(story())


def test_a_bookmark_from_the_past_means_another_history_and_a_new_list() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api) as now:
            await now.watching()
            api.bookmark(7)
            await now.until(lambda: len(api.lists) == 2)

    asyncio.run(story())


def test_what_was_deleted_while_the_history_was_lost_goes_with_the_new_list() -> None:
    async def story() -> None:
        api = ScriptedApi()
        api.put("old", 1)
        async with running(api) as now:
            await now.watching()
            api.expire_watches()
            api.delete("old")
            api.put("new", 2)
            api.forget()
            await now.until(lambda: now.sink.replaced == 2)
            await now.caught_up()
            assert now.sink.known == {"new": 2}

    asyncio.run(story())


def test_a_refused_resumption_leads_straight_to_a_new_list() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api) as now:
            await now.watching()
            api.put("web", 80)
            api.forget()
            api.version += 1
            api.forget()
            api.end_watches()
            await now.until(lambda: now.sink.replaced == 2)
            await now.watching()
            # One wait after the short watch, none between the 410 and the list.
            assert [pause > 0 for pause in now.pauses] == [True, False]

    asyncio.run(story())


def test_a_version_too_large_for_the_server_is_as_good_as_a_forgotten_one() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api) as now:
            await now.watching()
            too_large = {"code": 504, "reason": "Timeout", "message": "Too large resource version: 100, current: 7"}
            api.send({"type": "ERROR", "object": too_large})
            await now.until(lambda: now.sink.replaced == 2)

    asyncio.run(story())


def test_failures_in_a_row_wait_longer_and_longer_and_never_less_than_the_first_wait() -> None:
    async def story() -> None:
        api = ScriptedApi()
        for _ in range(8):
            api.answer_next(500, "InternalError")
        async with running(api) as now:
            await now.watching()
            assert len(now.pauses) == 8
            assert all(pause >= 0.8 for pause in now.pauses)
            assert now.pauses[-1] >= 15
            assert max(now.pauses) <= 30

    asyncio.run(story())


def test_watches_that_end_at_once_again_and_again_are_failures_too() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api) as now:
            for count in range(1, 7):
                await now.until(lambda count=count: len(api.watches) == count and api.watched)  # type: ignore[misc]
                api.end_watches()
            await now.until(lambda: len(now.pauses) >= 6)
            assert now.pauses[5] >= 15
            assert len(api.lists) == 1

    asyncio.run(story())


def test_a_watch_that_brought_changes_ends_a_row_of_failures_however_short_it_was() -> None:
    async def story() -> None:
        api = ScriptedApi()
        for _ in range(8):
            api.answer_next(500, "InternalError")
        async with running(api) as now:
            await now.watching()
            api.put("web", 80)
            await now.caught_up()
            api.cut_watches()
            await now.until(lambda: len(now.pauses) == 9)
            assert 0.8 <= now.pauses[8] <= 1.6

    asyncio.run(story())


def test_a_server_that_does_not_answer_is_missed_for_no_longer_than_five_seconds_after_its_return() -> None:
    async def story() -> None:
        pauses: list[float] = []
        enough = asyncio.Event()

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 12:
                enough.set()
                await asyncio.Event().wait()

        async with serving(ScriptedApi().handle) as url:
            pass
        async with Client(Access(url)) as client:
            task = asyncio.create_task(Reflector(client, SERVICES, Ports(), pause=pause).run())
            await asyncio.wait_for(enough.wait(), 20)
            task.cancel()
        assert 0.8 <= pauses[0] <= 1.6
        assert all(2.5 <= seconds <= 5 for seconds in pauses[4:])

    asyncio.run(story())


def test_watches_that_are_cut_off_again_and_again_are_missed_for_no_longer_than_five_seconds() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api) as now:
            for count in range(1, 9):
                await now.until(lambda count=count: len(api.watches) == count and api.watched)  # type: ignore[misc]
                api.cut_watches()
            await now.until(lambda: len(now.pauses) >= 8)
            assert all(2.5 <= seconds <= 5 for seconds in now.pauses[4:8])
            assert len(api.lists) == 1

    asyncio.run(story())


def test_a_short_watch_that_brought_nothing_does_not_end_a_row_of_failures() -> None:
    async def story() -> None:
        api = ScriptedApi()
        for _ in range(4):
            api.answer_next(500, "InternalError")
        async with running(api) as now:
            await now.watching()
            api.end_watches()
            await now.until(lambda: len(now.pauses) == 5)
            assert now.pauses[4] >= 12.8

    asyncio.run(story())


def test_a_server_that_asks_to_be_left_alone_is() -> None:
    async def story() -> None:
        api = ScriptedApi()
        api.answer_next(429, "TooManyRequests", **{"Retry-After": "17"})
        async with running(api) as now:
            await now.watching()
            assert now.pauses == [17.0]

    asyncio.run(story())


@pytest.mark.parametrize("asked", ["100000", "inf", "1e300"])
def test_a_server_that_asks_to_be_left_alone_for_ever_is_asked_again_within_a_minute(asked: str) -> None:
    async def story() -> None:
        api = ScriptedApi()
        api.answer_next(429, "TooManyRequests", **{"Retry-After": asked})
        async with running(api) as now:
            await now.watching()
            assert now.pauses == [60.0]

    asyncio.run(story())


def test_the_error_is_told_while_it_lasts_and_forgotten_after() -> None:
    async def story() -> None:
        api = ScriptedApi()
        api.answer_next(403, "Forbidden")
        async with running(api) as now:
            await now.watching()
            (error,) = now.errors
            assert isinstance(error, RefusedError)
            assert str(error).endswith("/api/v1/services: answered with 403: Forbidden")
            assert now.reflector.last_error is None

    asyncio.run(story())


def test_garbage_breaks_the_watch_and_a_second_time_at_the_same_place_the_list_is_taken_anew() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api) as now:
            await now.watching()
            api.put("web", 80)
            await now.caught_up()
            api.send_bytes(b"<html>\n")
            await now.until(lambda: len(api.watches) == 2 and api.watched)
            assert len(api.lists) == 1
            assert isinstance(now.errors[0], GarbageError)
            api.send_bytes(b"<html>\n")
            await now.until(lambda: len(api.lists) == 2)

    asyncio.run(story())


def test_a_silent_connection_is_given_up_and_resumed() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api, silence=0.05) as now:
            await now.until(lambda: len(api.watches) == 2)
            assert len(api.lists) == 1

    asyncio.run(story())


def test_an_object_that_cannot_be_read_counts_as_absent_and_harms_no_other() -> None:
    async def story() -> None:
        api = ScriptedApi()
        api.put("good", 1)
        api.put("bad", 2)
        async with running(api) as now:
            await now.watching()
            api.broken.add("bad")
            api.put("bad", 3)
            api.put("better", 4)
            await now.until(lambda: now.sink.known == {"good": 1, "better": 4})
            assert "ports" in now.reflector.unreadable["default", "bad"]
            api.expire_watches()
            await now.until(lambda: now.sink.replaced == 2)
            assert now.sink.known == {"good": 1, "better": 4}
            assert list(now.reflector.unreadable) == [("default", "bad")]
            await now.watching()
            api.broken.clear()
            api.put("bad", 5)
            await now.caught_up()
            assert now.reflector.unreadable == {}

    asyncio.run(story())


def test_repeated_and_old_events_do_not_reach_the_sink() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api) as now:
            await now.watching()
            api.put("web", 80)
            api.put("web", 81)
            api.delete("web")
            api.put("web", 82)
            api.repeat(4)
            api.put("end", 1)
            await now.until(lambda: "end" in now.sink.known)
            assert now.sink.known == {"web": 82, "end": 1}
            assert now.sink.changes == ["web"] * 4 + ["end"]

    asyncio.run(story())


def test_a_deletion_counts_also_when_it_carries_the_version_of_the_object() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with running(api) as now:
            await now.watching()
            api.put("web", 80)
            api.put("dns", 53)
            api.delete("web", own_version=False)
            await now.until(lambda: now.sink.known == {"dns": 53})

    asyncio.run(story())


@pytest.mark.parametrize("code", [404, 403], ids=["the server", "our role"])
def test_a_kind_that_an_old_server_or_role_lacks_is_an_empty_list_and_seldom_asked_for(code: int) -> None:
    async def story() -> None:
        api = ScriptedApi()
        api.answer_next(code, "NotFound" if code == 404 else "Forbidden")
        pauses: list[float] = []
        asked = asyncio.Event()

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            asked.set()
            await asyncio.Event().wait()

        absent = Resource(PATH, Service, optional=True)
        async with serving(api.handle) as url, Client(Access(url)) as client:
            reflector = Reflector(client, absent, Ports(), pause=pause)
            task = asyncio.create_task(reflector.run())
            await asyncio.wait_for(asked.wait(), 20)
            task.cancel()
        assert reflector.synced.is_set()
        assert reflector.last_error is None
        assert pauses[0] >= 240

    asyncio.run(story())


def test_what_was_seen_of_a_kind_stays_when_our_role_loses_it() -> None:
    async def story() -> None:
        api, sink = ScriptedApi(), Ports()
        api.put("web", 80)
        async with serving(api.handle) as url, Client(Access(url)) as client:
            reflector = Reflector(client, Resource(PATH, Service, optional=True), sink, backoff=Backoff(0.001, 0.01))
            task = asyncio.create_task(reflector.run())
            async with asyncio.timeout(PATIENCE):
                while not reflector.connected:
                    await asyncio.sleep(0.002)
                api.answers += [web.json_response(status(403, "Forbidden"), status=403) for _ in range(5)]
                api.forget()
                api.end_watches()
                while api.answers:
                    assert sink.known == {"web": 80}
                    await asyncio.sleep(0.002)
            task.cancel()

    asyncio.run(story())


def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    async def story() -> None:
        api, sink = ScriptedApi(), Ports()
        api.put("web", 80)
        async with serving(api.handle) as url:
            pass
        async with Client(Access(url)) as client:
            reflector = Reflector(client, SERVICES, sink, backoff=Backoff(0.001, 0.01))
            task = asyncio.create_task(reflector.run())
            async with asyncio.timeout(PATIENCE):
                while reflector.last_error is None:
                    await asyncio.sleep(0.002)
            assert isinstance(reflector.last_error, UnreachableError)
            assert not reflector.synced.is_set()
            task.cancel()

    asyncio.run(story())


def test_an_error_of_the_sink_is_not_taken_for_one_of_the_server() -> None:
    class Full(Ports):
        def change(self, key: ObjectKey, new: Service | None) -> None:
            raise OSError("no space left")

    async def story() -> None:
        api = ScriptedApi()
        async with serving(api.handle) as url, Client(Access(url)) as client:
            task = asyncio.create_task(Reflector(client, SERVICES, Full()).run())
            async with asyncio.timeout(PATIENCE):
                while not api.watched:
                    await asyncio.sleep(0.002)
                api.put("web", 80)
                await asyncio.wait([task])
        with pytest.raises(OSError, match="no space left"):
            task.result()

    asyncio.run(story())


names = st.sampled_from(["a", "b", "c", "d"])
happenings = st.one_of(
    st.tuples(st.just(ScriptedApi.put), names, st.integers(1, 9)),
    st.tuples(st.just(ScriptedApi.put), names, st.integers(1, 9)),
    st.builds(lambda name, own: (partial(ScriptedApi.delete, own_version=own), name), names, st.booleans()),
    st.tuples(st.just(ScriptedApi.repeat), st.integers(1, 5)),
    st.tuples(st.just(ScriptedApi.answer_next), st.sampled_from([401, 410, 429, 500, 503]), st.just("Fault")),
    st.tuples(
        st.just(ScriptedApi.send_bytes), st.sampled_from([b"garbage\n", b"{}\n", b"\xff\n", b'{"type":"ADDED"}\n'])
    ),
    st.sampled_from(
        [
            (ScriptedApi.bookmark,),
            (ScriptedApi.end_watches,),
            (ScriptedApi.cut_watches,),
            (ScriptedApi.expire_watches,),
            (ScriptedApi.forget,),
        ]
    ),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    before=st.lists(names, max_size=4),
    story=st.lists(st.tuples(st.booleans(), happenings), max_size=25),
    page_size=st.sampled_from([1, 2, 500]),
)
def test_whatever_happens_in_whatever_order_in_the_end_the_sink_has_what_the_server_has(
    before: list[str], story: list[tuple[bool, tuple]], page_size: int
) -> None:
    async def play() -> None:
        api = ScriptedApi()
        for name in before:
            api.put(name, 1)
        async with running(api, page_size=page_size) as now:
            for wait_first, (happen, *arguments) in story:
                if wait_first:
                    await now.watching()
                happen(api, *arguments)
                await asyncio.sleep(0)
            await now.watching()
            api.put("last", 7)
            await now.until(lambda: now.sink.known == api.ports)

    asyncio.run(play())


def test_the_wait_doubles_and_is_spread_over_half_of_itself() -> None:
    shortest, longest = Backoff(chance=lambda: 0.0), Backoff(chance=lambda: 1.0)
    assert [shortest.next() for _ in range(7)] == [0.8, 1.6, 3.2, 6.4, 12.8, 15.0, 15.0]
    assert [longest.next() for _ in range(7)] == [1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    longest.reset()
    assert longest.next() == 1.6
