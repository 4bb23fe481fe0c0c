"""The transport: refusals are mapped to the message that caused them, and success is never guessed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from dataplane.netlink import messages
from dataplane.netlink.addresses import local_addresses
from dataplane.netlink.attributes import string
from dataplane.netlink.channel import Channel, NetlinkError
from dataplane.netlink.messages import netfilter_body

pytestmark = pytest.mark.kernel

_NEWTABLE, _GETTABLE, _DELTABLE = 0xA00, 0xA01, 0xA02


def table(name: str) -> tuple[int, int, bytes]:
    return (_NEWTABLE, messages.CREATE, netfilter_body(2, string(1, name)))


def missing_table(name: str) -> tuple[int, int, bytes]:
    return (_DELTABLE, 0, netfilter_body(2, string(1, name)))


def tables(channel: Channel) -> int:
    return len(channel.dump(_GETTABLE, netfilter_body(2, b"")))


@pytest.fixture
def apart(in_new_namespace: Callable[..., Any]) -> Callable[[Callable[[Channel], None]], None]:
    """Call a test with a channel in a network namespace of its own."""

    def call(work: Callable[[Channel], None]) -> None:
        def with_channel() -> None:
            with Channel() as channel:
                work(channel)

        in_new_namespace(with_channel)

    return call


def test_a_batch_happens_whole(apart: Callable[..., None]) -> None:
    def work(channel: Channel) -> None:
        channel.batch([table("a"), table("b"), table("c")])
        assert tables(channel) == 3
        channel.batch([])

    apart(work)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_refused_message_undoes_the_batch_and_is_named(position: int, apart: Callable[..., None]) -> None:
    def work(channel: Channel) -> None:
        requests = [table("a"), table("b"), table("c")]
        requests[position] = missing_table("nowhere")
        with pytest.raises(NetlinkError) as refused:
            channel.batch(requests)
        assert [(r.code, r.sequence) for r in refused.value.refusals] == [(errno.ENOENT, position)]
        assert tables(channel) == 0

    apart(work)


def test_a_batch_of_many_messages_is_confirmed_without_an_answer_to_each(apart: Callable[..., None]) -> None:
    def work(channel: Channel) -> None:
        channel.batch([table("a")] * 20_000)
        assert tables(channel) == 1

    apart(work)


def test_more_refusals_than_the_socket_holds_are_still_a_refusal(apart: Callable[..., None]) -> None:
    def work(channel: Channel) -> None:
        with pytest.raises(NetlinkError) as refused:
            channel.batch([table("a"), *[missing_table("nowhere")] * 200_000])
        assert refused.value.errno in (errno.ENOENT, errno.ENOBUFS)
        assert tables(channel) == 0
        channel.batch([table("a")])
        assert tables(channel) == 1

    apart(work)


def test_requests_fail_each_for_itself(apart: Callable[..., None]) -> None:
    def work(channel: Channel) -> None:
        bodies = [netfilter_body(2, string(1, f"t{i}")) for i in range(2500)]
        refusals = channel.requests(_GETTABLE, bodies)
        assert [r.sequence for r in refusals] == list(range(2500))
        channel.batch([table("t7")])
        assert 7 not in {r.sequence for r in channel.requests(_GETTABLE, bodies)}

    apart(work)


def test_a_refused_request_keeps_the_kernels_own_words(apart: Callable[..., None]) -> None:
    def work(channel: Channel) -> None:
        with pytest.raises(NetlinkError, match="No such file or directory"):
            channel.request(_GETTABLE, netfilter_body(2, string(1, "nowhere")))

    apart(work)


def test_notifications_come_from_others_until_the_group_is_left(apart: Callable[..., None]) -> None:
    def work(channel: Channel) -> None:
        with Channel() as listener:
            listener.join(7)
            channel.batch([table("a")])
            found, lost = listener.notifications()
            assert [m.kind for m in found if m.kind == _NEWTABLE] == [_NEWTABLE]
            assert {m.port for m in found} == {channel.port}
            assert not lost
            listener.leave(7)
            channel.batch([table("b")])
            assert listener.notifications() == ([], False)

    apart(work)


def test_the_addresses_of_an_interface_are_listed(apart: Callable[..., None]) -> None:
    def work(_: Channel) -> None:
        import subprocess

        assert local_addresses() == frozenset()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "address", "add", "192.0.2.7/24", "dev", "lo"], check=True)
        assert local_addresses() == {"127.0.0.1", "::1", "192.0.2.7"}

    apart(work)
