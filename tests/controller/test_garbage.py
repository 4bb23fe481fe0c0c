"""The garbage collector rests while everything is compiled, and never longer."""

from __future__ import annotations

import gc

import pytest

from controller.garbage import no_collection


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
