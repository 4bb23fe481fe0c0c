"""The annotation that says what a slice was written for."""

from __future__ import annotations

import pytest

from controller.objects import ANNOTATION_TRIGGER_TIME, EndpointSlice, Metadata
from controller.trigger_times import TriggerTimes, trigger_time

WEB, SHOP = ("default", "web"), ("default", "shop")


def piece(time: str | None = None) -> EndpointSlice:
    return EndpointSlice(Metadata(annotations=None if time is None else {ANNOTATION_TRIGGER_TIME: time}))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:01:40Z", 100.0),
        ("1970-01-01T00:01:40.25Z", 100.25),
        ("1970-01-01T00:01:40.123456789Z", 100.123456789),
        ("1970-01-01T02:01:40.5+02:00", 100.5),
    ],
)
def test_a_time_has_up_to_nanoseconds(text: str, seconds: float) -> None:
    assert trigger_time(piece(text)) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [None, "", "yesterday", "1970-01-01", "1970-13-01T00:00:00Z"])
def test_a_slice_without_a_readable_time_has_none(text: str | None) -> None:
    assert trigger_time(piece(text)) is None


def test_each_time_is_taken_once() -> None:
    times = TriggerTimes(since=0.0)
    times.note(WEB, piece("1970-01-01T00:00:01Z"))
    times.note(SHOP, piece("1970-01-01T00:00:02Z"))
    times.note(WEB, piece())
    assert list(times.take()) == [1.0, 2.0]
    assert list(times.take()) == []


def test_what_was_triggered_before_the_agent_started_does_not_count() -> None:
    times = TriggerTimes(since=10.0)
    times.note(WEB, piece("1970-01-01T00:00:09Z"))
    assert list(times.take()) == []


def test_a_slice_that_is_gone_takes_its_service_s_times_along() -> None:
    times = TriggerTimes(since=0.0)
    times.note(WEB, piece("1970-01-01T00:00:01Z"))
    times.note(SHOP, piece("1970-01-01T00:00:02Z"))
    times.forget(WEB)
    assert list(times.take()) == [2.0]


def test_of_times_that_nobody_takes_the_earliest_are_kept() -> None:
    times = TriggerTimes(since=0.0)
    for second in range(1, 1000):
        times.note(WEB, piece(f"1970-01-01T00:{second // 60:02}:{second % 60:02}Z"))
    assert list(times.take()) == list(range(1, 101))
