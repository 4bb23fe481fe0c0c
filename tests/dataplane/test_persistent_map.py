"""A mapping that never changes, and what differs between two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from dataplane.persistent_map import PersistentMap, differing

#: More than there are shards, so that some share one.
keys = st.integers(0, 600)
some_changes = st.dictionaries(keys, st.none() | st.integers(), max_size=40)
histories = st.lists(some_changes, max_size=6)


def after(changes: list[dict[int, int | None]]) -> tuple[PersistentMap[int, int], dict[int, int]]:
    """The mapping after all of these, and the same as a dict."""
    built: PersistentMap[int, int] = PersistentMap()
    model: dict[int, int] = {}
    for each in changes:
        built = built.with_changes(each)
        model = {key: value for key, value in (model | each).items() if value is not None}
    return built, model


@given(histories)
def test_it_is_what_a_dict_would_be(changes: list[dict[int, int | None]]) -> None:
    built, model = after(changes)
    assert built == model
    assert model == built
    assert sorted(built) == sorted(model)
    assert len(built) == len(model)
    for key in range(601):
        assert (key in built, built.get(key)) == (key in model, model.get(key))


@given(histories, some_changes)
def test_changes_leave_what_they_were_made_from_as_it_was(
    changes: list[dict[int, int | None]], more: dict[int, int | None]
) -> None:
    built, model = after(changes)
    built.with_changes(more)
    assert built == model


@given(histories, histories, histories)
def test_what_differs_is_found_whatever_two_mappings_have_in_common(
    common: list[dict[int, int | None]], one: list[dict[int, int | None]], other: list[dict[int, int | None]]
) -> None:
    (old, old_model), (new, new_model) = after(common + one), after(common + other)
    expected = {
        key
        for key in old_model.keys() | new_model.keys()
        if (key in old_model, old_model.get(key)) != (key in new_model, new_model.get(key))
    }
    mixed: tuple[tuple[Mapping[int, int], Mapping[int, int]], ...] = ((old, new), (old, new_model), (old_model, new))
    for before, now in mixed:
        found = list(differing(before, now))
        assert len(found) == len(set(found))
        # The same number may be two objects, which counts as different: whoever asks compares them.
        assert expected <= set(found)
        assert all(before.get(key) is not now.get(key) for key in found)


@given(histories, some_changes)
def test_what_differs_is_told_in_the_order_of_the_new_one(
    changes: list[dict[int, int | None]], more: dict[int, int | None]
) -> None:
    old, _ = after(changes)
    new = old.with_changes(more)
    come = [key for key in differing(old, new) if key in new]
    assert come == [key for key in new if key in come]


@dataclass(frozen=True)
class Counting:
    """A key that tells how often any was looked at."""

    number: int
    looked: ClassVar[int] = 0

    def __hash__(self) -> int:
        Counting.looked += 1
        return hash(self.number)


def test_one_change_among_many_entries_costs_a_look_at_few_of_them() -> None:
    many = PersistentMap[Counting, int]().with_changes({Counting(number): number for number in range(25_600)})
    Counting.looked = 0
    changed = many.with_changes({Counting(77): -1})
    assert [key.number for key in differing(many, changed)] == [77]
    assert Counting.looked < 1000
