"""docs/faults.md claims what is said at tests, and nothing else."""

from __future__ import annotations

from fault import PAGE, faults, page


def test_the_page_is_as_the_tests_say() -> None:
    assert PAGE.read_text() == page(), "python tests/fault.py writes it anew"


def test_every_fault_has_a_place_of_its_own_and_all_its_words() -> None:
    found = faults()
    assert len(found) >= 20
    assert len({one.place for one in found}) == len(found)
    assert all(word and "|" not in word and "\n" not in word for one in found for word in one[1:])
