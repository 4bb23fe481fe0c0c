"""The reflector and the lab's API server, which were written apart, agree on what list and watch mean."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api.access import Access
from controller.api.client import Client
from controller.api.reflector import Reflector
from controller.api.resources import ENDPOINT_SLICES, SERVICE_CIDRS, SERVICES, own_node
from controller.objects import LABEL_PROXY_NAME, ObjectKey, Service
from lab.api import registry
from lab.api.server import ApiServer
from lab.api.store import Store
from patience import PATIENCE
from ports import own_port


class Versions:
    """A sink that remembers of each object the version."""

    def __init__(self) -> None:
        self.known: dict[ObjectKey, str] = {}

    def replace(self, objects: Mapping[ObjectKey, Service]) -> None:
        self.known = {key: item.metadata.resource_version for key, item in objects.items()}

    def change(self, key: ObjectKey, new: Service | None) -> None:
        if new is None:
            del self.known[key]
        else:
            self.known[key] = new.metadata.resource_version


@contextlib.asynccontextmanager
async def serving(store: Store, port: int | None = None) -> AsyncIterator[tuple[ApiServer, int]]:
    """The lab's API server on a port of 127.0.0.1."""
    listening = socket.create_server(("127.0.0.1", port or own_port()))
    server = ApiServer(store)
    await server.start([listening])
    try:
        yield server, listening.getsockname()[1]
    finally:
        await server.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def reflecting(port: int, sink: Versions) -> AsyncIterator[Reflector[Service]]:
    async with Client(Access(f"http://127.0.0.1:{port}")) as client:
        reflector = Reflector(client, SERVICES, sink, page_size=2, pause=lambda seconds: asyncio.sleep(0.001))
        task = asyncio.create_task(reflector.run())
        try:
            yield reflector
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def put(store: Store, name: str, *, foreign: bool) -> None:
    """Make or change a Service; a foreign one is another proxy's."""
    metadata = {"name": name, "namespace": "default", "labels": {LABEL_PROXY_NAME: "other"} if foreign else {}}
    spec = {"ports": [{"port": 80}]}
    if store.find(registry.SERVICES, f"default/{name}") is None:
        store.create(registry.SERVICES, {"metadata": metadata, "spec": spec})
    else:
        labels = {LABEL_PROXY_NAME: "other" if foreign else None}
        merge = "application/merge-patch+json"
        store.patch(registry.SERVICES, "default", name, {"metadata": {"labels": labels}}, merge)


def remove(store: Store, name: str) -> None:
    if store.find(registry.SERVICES, f"default/{name}") is not None:
        store.delete(registry.SERVICES, "default", name)


def ours(store: Store) -> dict[ObjectKey, str]:
    """What the reflector has to know: every Service that is not another proxy's, with its version."""
    items, _ = store.list(registry.SERVICES)
    metadata = [item["metadata"] for item in items]
    return {
        (m["namespace"], m["name"]): m["resourceVersion"]
        for m in metadata
        if LABEL_PROXY_NAME not in m.get("labels", {})
    }


names = st.sampled_from(["a", "b", "c"])
happenings = st.one_of(
    st.tuples(st.just("put"), names, st.booleans()),
    st.tuples(st.just("put"), names, st.booleans()),
    st.tuples(st.just("remove"), names),
    st.tuples(st.just("refuse"), st.sampled_from([410, 429, 500]), st.sampled_from(["list", "watch"])),
    st.sampled_from([("drop",), ("compact",), ("wait",)]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(happenings, max_size=20))
def test_in_the_end_the_reflector_knows_every_service_that_is_ours(story: list[tuple[Any, ...]]) -> None:
    async def play() -> None:
        store, sink = Store(seed=1), Versions()
        async with serving(store) as (server, port), reflecting(port, sink) as reflector:
            for happening in story:
                match happening:
                    case ("put", name, foreign):
                        put(store, name, foreign=foreign)
                    case ("remove", name):
                        remove(store, name)
                    case ("refuse", code, verb):
                        server.faults.refuse(code, plural="services", verb=verb)
                    case ("drop",):
                        server.faults.drop_watches()
                    case ("compact",):
                        store.compact()
                    case ("wait",):
                        await until(lambda: reflector.connected)
                await asyncio.sleep(0)
            put(store, "last", foreign=False)
            await until(lambda: sink.known == ours(store))

    asyncio.run(play())


def test_a_server_that_comes_back_with_an_older_history_is_listed_anew() -> None:
    async def story() -> None:
        first, second, sink = Store(), Store(), Versions()
        for name in ("a", "b", "c"):
            put(first, name, foreign=False)
        put(second, "d", foreign=False)
        assert second.version < first.version
        async with contextlib.AsyncExitStack() as stack:
            async with serving(first) as (_, port):
                await stack.enter_async_context(reflecting(port, sink))
                await until(lambda: len(sink.known) == 3)
            async with serving(second, port):
                await until(lambda: sink.known == ours(second))
                assert set(sink.known) == {("default", "d")}
                await stack.aclose()

    asyncio.run(story())


def test_all_four_kinds_are_found_where_we_look_for_them() -> None:
    async def story() -> None:
        store = Store()
        store.create(registry.NODES, {"metadata": {"name": "n1"}})
        store.create(registry.NODES, {"metadata": {"name": "n2"}})
        put(store, "web", foreign=False)
        slices = {"metadata": {"name": "web-1", "namespace": "default"}, "addressType": "IPv4", "endpoints": []}
        store.create(registry.ENDPOINT_SLICES, slices)
        known: list[set[ObjectKey]] = []
        async with serving(store) as (_, port), Client(Access(f"http://127.0.0.1:{port}")) as client:
            for resource in (SERVICES, ENDPOINT_SLICES, SERVICE_CIDRS, own_node("n1")):
                pages = [page async for page in client.list_pages(resource)]  # type: ignore[attr-defined]
                known.append({item.metadata.key for page in pages for item in page.objects})
        assert known == [{("default", "web")}, {("default", "web-1")}, {("", "kubernetes")}, {("", "n1")}]

    asyncio.run(story())
