"""A busy queue waits, and no other: when, and that the kernel understands it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.netlink.channel import NETLINK_ROUTE, Channel
from dataplane.netlink.napi import Deferral, NapiSettings
from dataplane.netlink.routing import links
from dataplane.userspace.xdp.port import Where
from kernel_features import lacks_napi_settings
from lab.network.namespace import Namespace
from lab.network.network import Network, pod_interface
from native.library import ffi, lib
from xdp_node import Node, pods

BEGIN = 10**15  #: nanoseconds: a machine that has been up for days
STEP = lib.MODERATION_WINDOW
SECOND = 10**9
FROM, BELOW = (limit * STEP // SECOND for limit in (lib.MODERATION_FROM, lib.MODERATION_BELOW))


def waits(*packets: int) -> list[bool]:
    """Whether a queue waits after each window in which so many packets have come."""
    queue = ffi.new("struct moderated *", {"napi": 1, "since": BEGIN})
    became = []
    for number, count in enumerate(packets, 1):
        before = queue.waits
        changed = lib.moderation_count(queue, count, BEGIN + number * STEP)
        assert changed == (queue.waits != before)
        became.append(queue.waits)
    return became


def test_a_queue_waits_when_it_is_busy_and_until_it_is_not() -> None:
    assert waits(FROM - 1, FROM, BELOW, BELOW - 1, FROM - 1) == [False, True, True, False, False]


def test_a_queue_that_was_silent_for_long_does_not_wait() -> None:
    assert waits(FROM) == [True]
    queue = ffi.new("struct moderated *", {"napi": 1, "since": BEGIN, "waits": True})
    assert lib.moderation_count(queue, 64, BEGIN + 3600 * SECOND)
    assert not queue.waits


def test_the_first_packet_of_all_is_no_reason_to_wait() -> None:
    queue = ffi.new("struct moderated *", {"napi": 1})
    assert not lib.moderation_count(queue, 64, BEGIN)
    assert not queue.waits


@given(st.lists(st.integers(0, 2 * FROM), min_size=1), st.integers(1, 50))
def test_it_does_not_matter_in_how_many_batches_packets_come(windows: list[int], batches: int) -> None:
    queue = ffi.new("struct moderated *", {"napi": 1, "since": BEGIN})
    became = []
    for number, count in enumerate(windows):
        for batch in range(batches):
            share = count * (batch + 1) // batches - count * batch // batches
            lib.moderation_count(queue, share, BEGIN + number * STEP + STEP * (batch + 1) // batches)
        became.append(queue.waits)
    assert became == waits(*windows)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if reason := lacks_napi_settings():
        pytest.skip(reason)
    with pods(f"xdpm-{os.getpid()}", tmp_path_factory.mktemp("pods")) as made:
        yield made


@pytest.fixture
def node(network: Network) -> Iterator[Node]:
    node = Node(network["n1"], where=Where.NATIVE)
    yield node
    node.close()


@pytest.mark.kernel
def test_a_queue_is_told_to_wait_and_no_longer_to(node: Node, network: Network) -> None:
    machine = network["n1"]
    ((number, *before),) = queues(machine, "c1")
    assert before == [0, 0]
    for told in (True, False):
        assert machine.call(lambda told=told: tell(number, waits=told))
        assert queues(machine, "c1") == ((number, 1, lib.MODERATION_WAIT) if told else (number, 0, 0),)


@pytest.mark.kernel
def test_nothing_of_it_stays_when_the_program_is_gone(node: Node, network: Network) -> None:
    machine = network["n1"]
    (queue,) = queues(machine, "c1")
    assert machine.call(lambda: tell(queue.number, waits=True))
    node.close()
    assert queues(machine, "c1") == ()
    again = Node(machine, where=Where.NATIVE)
    try:
        assert [(q.polls, q.nanoseconds) for q in queues(machine, "c1")] == [(0, 0)]
    finally:
        again.close()


def tell(napi: int, *, waits: bool) -> Any:
    settings = NapiSettings()
    try:
        told = ffi.new("struct moderation *", {"descriptor": settings.fileno(), "family": settings.family})
        return lib.moderation_tell(told, ffi.new("struct moderated *", {"napi": napi, "waits": waits}))
    finally:
        settings.close()


def queues(machine: Namespace, pod: str) -> tuple[Deferral, ...]:
    def ask() -> tuple[Deferral, ...]:
        with Channel(NETLINK_ROUTE) as channel:
            (index,) = (link.index for link in links(channel) if link.name == pod_interface(pod))
        settings = NapiSettings()
        try:
            return settings.queues(index)
        finally:
            settings.close()

    return machine.call(ask)
