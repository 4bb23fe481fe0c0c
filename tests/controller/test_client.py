"""The client over real HTTP and TLS: what it asks, what it makes of answers, and how it says what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from certificates import Authority, new_authority
from controller.api.access import Access
from controller.api.client import Client
from controller.api.credential import Credential, FixedSource
from controller.api.errors import (
    ApiServerError,
    ExpiredError,
    GarbageError,
    NotFoundError,
    RefusedError,
    UnreachableError,
    UntrustedError,
)
from controller.api.resources import ENDPOINT_SLICES, SERVICES, Resource, own_node
from controller.api.wire import Bookmark, Changed, Decoder, Event, Page, Unreadable, lines
from controller.objects import EndpointSlice, Node, Service
from scripted_api import PATH, ScriptedApi, service, serving, status


async def listed(access: Access, resource: Resource[Any] = SERVICES, page_size: int = 500) -> list[Page[Any]]:
    async with Client(access) as client:
        return [page async for page in client.list_pages(resource, page_size)]


async def watched(access: Access, count: int) -> list[Event[Service]]:
    """The first events of a watch."""
    events: list[Event[Service]] = []
    async with Client(access) as client, client.watch(SERVICES, 1, 300) as stream:
        async for event in stream:
            events.append(event)
            if len(events) == count:
                break
    return events


def answering(answer: Callable[[web.Request], web.Response]) -> contextlib.AbstractAsyncContextManager[str]:
    """A server that gives one kind of answer."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(request)

    return serving(handle)


def streaming(*chunks: bytes) -> contextlib.AbstractAsyncContextManager[str]:
    """A server that answers every watch with these pieces."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        return response

    return serving(handle)


def line(kind: str, item: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def error_of(url: str, **arguments: Any) -> ApiServerError:
    """What listing fails with."""
    with pytest.raises(ApiServerError) as caught:
        asyncio.run(listed(Access(url, **arguments)))
    assert "\n" not in str(caught.value)
    return caught.value


async def error_of_serving(server: contextlib.AbstractAsyncContextManager[str]) -> ApiServerError:
    async with server as url:
        with pytest.raises(ApiServerError) as caught:
            await listed(Access(url))
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith(f"GET {url}/api/v1/services: ")
        return caught.value


# --- Lists -------------------------------------------------------------------------------------------------------


def test_a_list_asks_only_for_what_this_node_needs() -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    def answer(request: web.Request) -> web.Response:
        seen.append((request.path, dict(request.query)))
        return web.json_response({"metadata": {"resourceVersion": "5"}, "items": []})

    async def story() -> None:
        async with answering(answer) as url:
            for resource in (SERVICES, ENDPOINT_SLICES, own_node("n1")):
                await listed(Access(url), resource)

    asyncio.run(story())
    assert seen == [
        (
            "/api/v1/services",
            {
                "labelSelector": "!service.kubernetes.io/service-proxy-name",
                "fieldSelector": "spec.clusterIP!=None",
                "limit": "500",
            },
        ),
        (
            "/apis/discovery.k8s.io/v1/endpointslices",
            {"labelSelector": "!service.kubernetes.io/headless", "limit": "500"},
        ),
        ("/api/v1/nodes", {"fieldSelector": "metadata.name=n1", "limit": "500"}),
    ]


def test_a_server_address_with_a_path_keeps_it() -> None:
    async def story() -> None:
        async with answering(lambda request: web.Response(text=request.path, status=404)) as url:
            with pytest.raises(NotFoundError, match="/k8s/clusters/c-1/api/v1/services"):
                await listed(Access(f"{url}/k8s/clusters/c-1/"))

    asyncio.run(story())


def test_the_pages_of_a_list_all_have_its_version() -> None:
    async def story() -> None:
        api = ScriptedApi()
        for number in range(1, 6):
            api.put(f"s{number}", number)
        async with serving(api.handle) as url:
            pages = await listed(Access(url), page_size=2)
        assert [[item.metadata.name for item in page.objects] for page in pages] == [["s1", "s2"], ["s3", "s4"], ["s5"]]
        assert [page.version for page in pages] == [105] * 3

    asyncio.run(story())


def test_items_that_are_null_are_an_empty_list() -> None:
    async def story() -> None:
        answer = {"metadata": {"resourceVersion": "5"}, "items": None}
        async with answering(lambda request: web.json_response(answer)) as url:
            assert await listed(Access(url)) == [Page((), 5)]

    asyncio.run(story())


@pytest.mark.parametrize(
    "body", ["{}", "<html>", "", '{"metadata":{"resourceVersion":"7"}}', '{"metadata":{},"items":[]}']
)
def test_an_answer_that_is_no_list_is_an_error_and_not_an_empty_list(body: str) -> None:
    error = asyncio.run(error_of_serving(answering(lambda request: web.Response(text=body))))
    assert isinstance(error, GarbageError)


def test_an_unreadable_object_is_named_and_the_others_are_there() -> None:
    async def story() -> None:
        bad = service("bad", 6) | {"spec": {"ports": [{"port": "http"}]}}
        answer = {"metadata": {"resourceVersion": "9"}, "items": [service("a", 5), bad, service("b", 7)]}
        async with answering(lambda request: web.json_response(answer)) as url:
            (page,) = await listed(Access(url))
        assert [item.metadata.name for item in page.objects] == ["a", "b"]
        (unreadable,) = page.unreadable
        assert (unreadable.key, unreadable.version) == (("default", "bad"), 6)
        assert "Expected `int`, got `str` - at `$.spec.ports[0].port`" in unreadable.reason

    asyncio.run(story())


def test_what_endpoints_have_in_common_is_kept_once_and_means_the_same() -> None:
    def endpoint(pod: str) -> dict[str, Any]:
        return {
            "addresses": ["10.244.1.21"],
            "conditions": {"ready": True, "terminating": False},
            "nodeName": "n1",
            "zone": "za",
            "hints": {"forZones": [{"name": "za"}]},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": pod},
        }

    metadata = {"name": "web-1", "namespace": "default", "resourceVersion": "3"}
    item = {"metadata": metadata, "addressType": "IPv4", "endpoints": [endpoint("b1"), endpoint("b2"), {}]}
    body = msgspec.json.encode({"metadata": {"resourceVersion": "9"}, "items": [item]})
    (decoded,) = Decoder(EndpointSlice).page(body).objects
    assert decoded == msgspec.convert(item, EndpointSlice)
    first, second, _ = decoded.endpoints or ()
    assert (first.conditions, first.hints) == (second.conditions, second.hints)
    assert first.conditions is second.conditions
    assert first.hints is second.hints
    assert first.node_name is second.node_name


# --- Watches -----------------------------------------------------------------------------------------------------


def test_a_watch_gives_what_came_what_went_and_bookmarks() -> None:
    async def story() -> None:
        stream = (
            line("ADDED", service("web", 2)),
            line("DELETED", service("web", 3)),
            line("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
            line("MODIFIED", service("bad", 10) | {"spec": 1}),
        )
        async with streaming(*stream) as url:
            added, deleted, bookmark, unreadable = await watched(Access(url), 4)
        assert isinstance(added, Changed)
        assert isinstance(added.object, Service)
        assert (deleted, bookmark) == (Changed(("default", "web"), 3, None), Bookmark(9))
        assert isinstance(unreadable, Unreadable)
        assert unreadable.key == ("default", "bad")

    asyncio.run(story())


def test_a_line_of_a_megabyte_is_one_event() -> None:
    async def story() -> None:
        large = service("web", 2)
        large["metadata"]["annotations"] = {"note": "x" * (1 << 20)}
        data = line("ADDED", large)
        pieces = [data[start : start + 50_000] for start in range(0, len(data), 50_000)]
        async with streaming(*pieces) as url:
            (event,) = await watched(Access(url), 1)
        assert isinstance(event, Changed)
        assert event.object is not None
        assert len((event.object.metadata.annotations or {})["note"]) == 1 << 20

    asyncio.run(story())


def test_the_kernel_checks_that_the_other_end_of_a_watch_is_still_there() -> None:
    async def story() -> None:
        api = ScriptedApi()
        async with serving(api.handle) as url, Client(Access(url)) as client, client.watch(SERVICES, 100, 300):
            (idle,) = [
                connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                for connection in own_connections(URL(url).port)
                if connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            ]
            assert idle <= 30

    asyncio.run(story())


def own_connections(port: int | None) -> Iterator[socket.socket]:
    """This process's TCP connections to a port of 127.0.0.1."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as connection:
            if connection.getpeername()[:2] == ("127.0.0.1", port):
                yield connection


@given(st.lists(st.binary(max_size=5).map(lambda data: data.replace(b"\n", b"")), max_size=6), st.data())
def test_lines_are_the_same_however_the_stream_is_cut(texts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(text + b"\n" for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))

    async def chunks() -> AsyncIterator[bytes]:
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            yield stream[start:end]

    async def collect() -> list[bytes]:
        return [text async for text in lines(chunks())]

    assert asyncio.run(collect()) == [text for text in texts if text.strip()]


def test_a_line_without_end_is_given_up_before_memory_is() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * (1 << 20)

    async def collect() -> None:
        async for _ in lines(endless()):
            pass

    with pytest.raises(GarbageError, match="64 MB"):
        asyncio.run(collect())


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<html>\n", GarbageError),
        (b'{"type":"GROWN","object":{"metadata":{"resourceVersion":"1"}}}\n', GarbageError),
        (line("ADDED", service("web", 2) | {"metadata": {"resourceVersion": "x1"}}), GarbageError),
        (line("ERROR", status(410, "Expired")), ExpiredError),
        (line("ERROR", status(500, "InternalError")), RefusedError),
    ],
)
def test_a_watch_that_goes_wrong_says_how(data: bytes, kind: type[ApiServerError]) -> None:
    async def story() -> None:
        async with streaming(data) as url:
            with pytest.raises(kind, match=rf"^watching {url}/api/v1/services: "):
                await watched(Access(url), 1)

    asyncio.run(story())


# --- Single objects ----------------------------------------------------------------------------------------------


def test_single_objects_are_read_made_and_merged_into() -> None:
    seen: list[tuple[str, str, str, bytes]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.path, request.content_type, await request.read()))
        return web.json_response({"metadata": {"name": "n1"}})

    async def story() -> None:
        async with serving(handle) as url, Client(Access(url)) as client:
            node = await client.get("/api/v1/nodes/n1", Node)
            assert node.metadata.name == "n1"
            await client.create("/api/v1/nodes", {"a": 1}, Node)
            await client.patch("/api/v1/nodes/n1", {"b": None}, dict)

    asyncio.run(story())
    assert seen == [
        ("GET", "/api/v1/nodes/n1", "application/octet-stream", b""),
        ("POST", "/api/v1/nodes", "application/json", b'{"a":1}'),
        ("PATCH", "/api/v1/nodes/n1", "application/merge-patch+json", b'{"b":null}'),
    ]


# --- Errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [(401, RefusedError), (403, RefusedError), (404, NotFoundError), (410, ExpiredError), (500, RefusedError)],
)
def test_a_refusal_says_what_was_asked_and_what_the_server_said(code: int, kind: type[RefusedError]) -> None:
    body = status(code, "Because", "services is\nforbidden")
    error = asyncio.run(error_of_serving(answering(lambda request: web.json_response(body, status=code))))
    assert isinstance(error, kind)
    assert str(error).endswith(f": answered with {code}: services is forbidden")
    assert (error.status, error.reason) == (code, "Because")


def test_a_refusal_without_a_status_object_shows_what_there_was() -> None:
    error = asyncio.run(error_of_serving(answering(lambda request: web.Response(text="<h1>No</h1>", status=502))))
    assert str(error).endswith(": answered with 502: <h1>No</h1>")


def test_a_server_that_sends_us_elsewhere_is_not_followed() -> None:
    def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/login"})

    error = asyncio.run(error_of_serving(answering(answer)))
    assert isinstance(error, RefusedError)
    assert error.status == 302


def test_a_server_that_is_not_there_is_unreachable() -> None:
    async def free() -> str:
        async with answering(lambda request: web.Response()) as url:
            return url

    error = error_of(asyncio.run(free()))
    assert isinstance(error, UnreachableError)
    assert "111" in str(error) or "refused" in str(error).lower() or "failed" in str(error).lower()


def test_a_name_that_does_not_exist_is_unreachable() -> None:
    assert isinstance(error_of("http://no-such-host.invalid:6443"), UnreachableError)


def test_an_answer_that_is_not_http_is_garbage() -> None:
    async def story() -> ApiServerError:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"220 mail.example ESMTP\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            with pytest.raises(ApiServerError) as caught:
                await listed(Access(f"http://127.0.0.1:{port}"))
        return caught.value

    assert isinstance(asyncio.run(story()), GarbageError)


def test_an_answer_that_breaks_off_is_unreachable_and_not_a_short_list() -> None:
    async def story() -> ApiServerError:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"metadata":')
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            with pytest.raises(ApiServerError) as caught:
                await listed(Access(f"http://127.0.0.1:{port}"))
        return caught.value

    assert isinstance(asyncio.run(story()), UnreachableError)


# --- Credentials -------------------------------------------------------------------------------------------------


class Rotating:
    """A credential source that gives another token each time."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)
        self.asked = 0

    async def fetch(self) -> tuple[Credential, float]:
        self.asked += 1
        return Credential(token=self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]), 3600.0


def only_for(token: str, seen: list[str]) -> contextlib.AbstractAsyncContextManager[str]:
    def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        if seen[-1] != f"Bearer {token}":
            return web.json_response(status(401, "Unauthorized"), status=401)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    return answering(answer)


def test_a_token_that_is_refused_is_asked_for_again_and_the_request_sent_once_more() -> None:
    async def story() -> None:
        seen: list[str] = []
        source = Rotating("old", "new")
        async with only_for("new", seen) as url:
            await asyncio.gather(*(listed(access) for access in [Access(url, source)]))
        assert seen == ["Bearer old", "Bearer new"]
        assert source.asked == 2

    asyncio.run(story())


def test_a_token_that_stays_refused_is_not_tried_twice() -> None:
    async def story() -> None:
        seen: list[str] = []
        async with only_for("other", seen) as url:
            with pytest.raises(RefusedError, match="401"):
                await listed(Access(url, Rotating("same")))
        assert seen == ["Bearer same"]

    asyncio.run(story())


def test_a_name_and_a_password_are_sent_as_such() -> None:
    async def story() -> None:
        def answer(request: web.Request) -> web.Response:
            assert request.headers["Authorization"] == "Basic YWRhOnNlY3JldA=="
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

        async with answering(answer) as url:
            await listed(Access(url, FixedSource(username="ada", password="secret")))

    asyncio.run(story())


def test_a_token_file_is_read_again_when_the_old_token_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        file, seen = tmp_path / "token", []
        file.write_text("old\n")
        async with only_for("new", seen) as url:
            access = Access(url, FixedSource(token=file))
            await access.ticket()
            file.write_text("new\n")
            await listed(access)
        assert seen == ["Bearer old", "Bearer new"]

    asyncio.run(story())


def test_secrets_do_not_show_in_what_is_printed() -> None:
    access = Access("http://127.0.0.1:1", FixedSource(token=b"hunter2", username="ada", password="hunter2"))
    ticket = asyncio.run(access.ticket())
    assert "hunter2" not in f"{ticket!r} {FixedSource(token=b'hunter2')!r}"


# --- TLS ---------------------------------------------------------------------------------------------------------


async def ask_with_tls(signer: Authority, *names: str, demanding: bool = False, **arguments: Any) -> None:
    """List from a server whose certificate is for `names`."""
    pair = signer.issue("server", *names)
    context = signer.server_context(pair, clients_prove_themselves=demanding)
    api = ScriptedApi()
    async with serving(api.handle, context) as url:
        await listed(Access(url, **arguments), Resource(PATH, Service))


def test_a_server_with_a_certificate_of_our_authority_is_trusted(authority: Authority) -> None:
    asyncio.run(ask_with_tls(authority, "IP:127.0.0.1", authority=authority.certificate))


def test_a_server_of_another_authority_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    other = new_authority(tmp_path / "other")
    with pytest.raises(UntrustedError, match="certificate is not trusted"):
        asyncio.run(ask_with_tls(authority, "IP:127.0.0.1", authority=other.certificate))


def test_a_server_whose_certificate_is_for_another_name_is_not_trusted(authority: Authority) -> None:
    with pytest.raises(UntrustedError, match=r"127\.0\.0\.1"):
        asyncio.run(ask_with_tls(authority, "DNS:elsewhere", authority=authority.certificate))


def test_a_server_name_stands_in_for_the_address(authority: Authority) -> None:
    asyncio.run(ask_with_tls(authority, "DNS:elsewhere", authority=authority.certificate, server_name="elsewhere"))


def test_an_insecure_client_trusts_anybody(authority: Authority) -> None:
    asyncio.run(ask_with_tls(authority, "DNS:elsewhere", insecure=True))


def test_a_client_certificate_says_who_we_are(authority: Authority) -> None:
    client = authority.issue("client")
    source = FixedSource(certificate=client.certificate, key=client.key.read_bytes())
    asyncio.run(ask_with_tls(authority, "IP:127.0.0.1", demanding=True, authority=authority.certificate, source=source))


def test_a_server_that_demands_a_client_certificate_refuses_those_without(authority: Authority) -> None:
    with pytest.raises(ApiServerError, match=r"(?i)certificate.required|closed the connection"):
        asyncio.run(ask_with_tls(authority, "IP:127.0.0.1", demanding=True, authority=authority.certificate))


def test_https_to_a_server_that_speaks_http_says_so() -> None:
    async def story() -> None:
        async with answering(lambda request: web.Response()) as url:
            with pytest.raises(UntrustedError, match="TLS failed"):
                await listed(Access(url.replace("http:", "https:")))

    asyncio.run(story())


def test_msgspec_errors_name_the_field() -> None:
    # What `Unreadable.reason` shows people rests on this.
    with pytest.raises(msgspec.ValidationError, match=r"at `\$\.spec\.type`"):
        msgspec.json.decode(b'{"spec":{"type":1}}', type=Service)
