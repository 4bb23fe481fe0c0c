"""docs/nat-requirements.md claims what is said at tests, or gives a reason, and nothing else."""

from __future__ import annotations

from collections import Counter

from requirement import EVERYTHING, PAGE, held, page


def test_the_page_is_as_the_tests_say() -> None:
    assert PAGE.read_text() == page(), "python tests/requirement.py writes it anew"


def test_every_requirement_has_a_test_or_a_reason_and_never_both() -> None:
    kept = {one.name for one in held()}
    assert [one.name for one in EVERYTHING if (one.name in kept) == bool(one.reason)] == []


def test_tests_hold_requirements_that_there_are() -> None:
    assert {one.name for one in held()} <= {one.name for one in EVERYTHING}


def test_every_requirement_is_there_once_and_said_once_of_a_test() -> None:
    assert max(Counter(one.name for one in EVERYTHING).values()) == 1
    assert max(Counter((one.name, one.test) for one in held()).values()) == 1


def test_what_is_said_fits_into_a_table() -> None:
    words = [word for one in (*EVERYTHING, *held()) for word in one]
    assert not any("|" in word or "\n" in word for word in words)
