"""One agent in a network namespace at a time."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dataplane.interface import DataplaneError
from lab.network.namespace import in_new_namespace
from svcplane import alone as module
from svcplane.alone import alone

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.WARNING, logger="svcplane"):
        yield


def no_pause(_: float) -> None:
    pass


def test_a_second_one_says_whom_it_waited_for_and_why_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        with (
            alone(),
            pytest.raises(DataplaneError, match=f"process {os.getpid()}, has not ended in 0 s: two agents in one"),
            alone(patience=0),
        ):
            pass

    in_new_namespace(work)
    assert len(caplog.messages) == 1
    assert "waiting for another svcplane agent" in caplog.messages[0]


def test_a_second_one_begins_when_the_first_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        with ExitStack() as first:
            first.enter_context(alone())
            pauses = iter((no_pause, lambda _: first.close()))
            with alone(pause=lambda seconds: next(pauses)(seconds)):
                assert next(pauses, None) is None
                with pytest.raises(DataplaneError), alone(patience=0):
                    pass

    in_new_namespace(work)


def test_agents_of_two_network_namespaces_know_nothing_of_each_other(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        with alone():
            in_new_namespace(other)

    def other() -> None:
        with alone(patience=0):
            pass

    in_new_namespace(work)
    assert not caplog.messages


def test_a_process_of_another_user_is_told_of_and_not_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        with alone():
            monkeypatch.setattr(module.os, "geteuid", lambda: 12345)
            with alone(patience=0):
                pass

    in_new_namespace(work)
    assert [message.partition(" has ")[0] for message in caplog.messages] == [f"a process of user {os.getuid()}"]
