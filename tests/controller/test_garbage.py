"""The garbage collector rests while everything is compiled, and never longer."""

from __future__ import annotations

import gc
import weakref

import pytest

from controller.garbage import keep, no_collection


def test_it_rests_within_and_runs_again_whatever_happens() -> None:
    @no_collection()
    def work() -> None:
        assert not gc.isenabled()
        raise ValueError("in between")

    with pytest.raises(ValueError, match="in between"):
        work()
    assert gc.isenabled()


def test_it_goes_on_where_it_need_not_rest() -> None:
    with no_collection(rests=False):
        assert gc.isenabled()


def test_it_stays_off_where_somebody_else_has_it_off() -> None:
    gc.disable()
    try:
        with no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


class Ring:
    """Refers to itself: only the collector can end it."""

    def __init__(self) -> None:
        self.itself = self


def test_what_was_there_is_kept_and_what_comes_later_is_collected() -> None:
    gc.disable()
    kept = weakref.ref(Ring())
    try:
        keep()
        later = weakref.ref(Ring())
        gc.collect()
        assert kept() is not None
        assert later() is None
    finally:
        gc.unfreeze()
        gc.enable()
