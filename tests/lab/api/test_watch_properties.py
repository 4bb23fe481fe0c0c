"""Lists and watches against a random history: what a client ends up with is what the server has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.api.errors import ApiError
from lab.api.history import Stored
from lab.api.registry import CONFIG_MAPS
from lab.api.selectors import FieldSelector, Selector
from lab.api.store import Store
from lab.api.watching import Filter, Watch

NAMES = st.sampled_from("abcdef")
CHANGES = st.lists(st.tuples(NAMES, st.sampled_from(["red", "blue", "gone"])), max_size=30)
FILTERS = st.sampled_from(
    [
        Filter(CONFIG_MAPS),
        Filter(CONFIG_MAPS, "default"),
        Filter(CONFIG_MAPS, "kube-system"),
        Filter(CONFIG_MAPS, labels=Selector.parse("color=red")),
        Filter(CONFIG_MAPS, labels=Selector.parse("color notin (red)")),
        Filter(CONFIG_MAPS, fields=FieldSelector.parse("metadata.name!=a")),
    ]
)


def play(store: Store, changes: list[tuple[str, str]]) -> None:
    """Make or change the object of each name to that colour, or delete it."""
    for name, color in changes:
        namespace = "default" if name < "d" else "kube-system"
        obj = {"metadata": {"name": name, "namespace": namespace, "labels": {"color": color}}}
        present = store.find(CONFIG_MAPS, f"{namespace}/{name}")
        if color == "gone":
            if present:
                store.delete(CONFIG_MAPS, namespace, name)
        elif present:
            store.update(CONFIG_MAPS, obj)
        else:
            store.create(CONFIG_MAPS, obj)


def state(items: list[Stored]) -> dict[str, str]:
    return {item.key: item.object["metadata"]["labels"]["color"] for item in items}


def follow(watch: Watch, known: dict[str, str]) -> dict[str, str]:
    """Apply all events of a watch to a state, as a client does; each must make sense to one that knew it."""
    while events := watch.ready():
        for event in events:
            obj: dict[str, Any] = event.object
            key = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
            assert (event.type == "ADDED") is (key not in known)
            if event.type == "DELETED":
                del known[key]
            else:
                known[key] = obj["metadata"]["labels"]["color"]
    return known


@given(CHANGES, CHANGES, FILTERS)
def test_a_list_and_the_watch_after_it_give_the_present_state(
    before: list[tuple[str, str]], after: list[tuple[str, str]], which: Filter
) -> None:
    store = Store()
    play(store, before)
    page = store.page(CONFIG_MAPS, which)
    watch = store.watching(CONFIG_MAPS, which, page.version)
    play(store, after)
    assert follow(watch, state(page.items)) == state(store.page(CONFIG_MAPS, which).items)


@given(CHANGES, CHANGES, FILTERS)
def test_a_watch_from_nothing_gives_the_present_state(
    before: list[tuple[str, str]], after: list[tuple[str, str]], which: Filter
) -> None:
    store = Store()
    play(store, before)
    watch = store.watching(CONFIG_MAPS, which, None)
    play(store, after)
    assert follow(watch, {}) == state(store.page(CONFIG_MAPS, which).items)


@given(CHANGES, CHANGES, FILTERS)
def test_the_past_can_be_listed_as_it_was(
    before: list[tuple[str, str]], after: list[tuple[str, str]], which: Filter
) -> None:
    store = Store()
    play(store, before)
    then = store.page(CONFIG_MAPS, which)
    play(store, after)
    assert state(store.page(CONFIG_MAPS, which, version=then.version).items) == state(then.items)


@given(CHANGES, CHANGES, FILTERS, st.integers(1, 4))
def test_all_parts_of_a_list_show_one_moment_whatever_happens_between_them(
    before: list[tuple[str, str]], between: list[tuple[str, str]], which: Filter, limit: int
) -> None:
    store = Store()
    play(store, before)
    whole = state(store.page(CONFIG_MAPS, which).items)
    page = store.page(CONFIG_MAPS, which, limit=limit)
    items = page.items
    changes = iter(between)
    while page.next_key:
        assert len(page.items) == limit
        play(store, [change for change, _ in zip(changes, range(3), strict=False)])
        page = store.page(CONFIG_MAPS, which, limit=limit, version=page.version, start=page.next_key)
        items += page.items
    assert state(items) == whole
    assert [item.key for item in items] == sorted(whole)


def test_versions_never_go_back_in_a_watch() -> None:
    store = Store()
    watch = store.watching(CONFIG_MAPS, Filter(CONFIG_MAPS, labels=Selector.parse("color=red")), store.version)
    play(store, [("a", "red"), ("b", "red"), ("a", "blue"), ("b", "gone"), ("a", "red")])
    events = watch.ready()
    assert [event.type for event in events] == ["ADDED", "ADDED", "DELETED", "DELETED", "ADDED"]
    versions = [int(event.object["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))


def test_what_ceases_to_match_is_deleted_as_it_last_matched() -> None:
    store = Store()
    watch = store.watching(CONFIG_MAPS, Filter(CONFIG_MAPS, labels=Selector.parse("color=red")), store.version)
    play(store, [("a", "red"), ("a", "blue")])
    assert watch.ready()[-1].object["metadata"]["labels"] == {"color": "red"}


def test_history_is_bounded_and_says_so() -> None:
    store = Store(history=5)
    start = store.version
    watch = store.watching(CONFIG_MAPS, Filter(CONFIG_MAPS), start)
    play(store, [("a", color) for color in ["red", "blue"] * 10])
    for attempt in (watch.ready, lambda: store.watching(CONFIG_MAPS, Filter(CONFIG_MAPS), start)):
        with pytest.raises(ApiError, match="too old resource version") as refused:
            attempt()
        assert (refused.value.code, refused.value.reason) == (410, "Expired")
    with pytest.raises(ApiError, match="too old resource version"):
        store.page(CONFIG_MAPS, Filter(CONFIG_MAPS), version=start)


def test_a_compacted_history_still_serves_what_comes_after_it() -> None:
    store = Store()
    play(store, [("a", "red")])
    store.compact()
    watch = store.watching(CONFIG_MAPS, Filter(CONFIG_MAPS), store.version)
    play(store, [("a", "blue")])
    assert [event.type for event in watch.ready()] == ["MODIFIED"]


def test_a_version_from_the_future_is_refused() -> None:
    store = Store()
    with pytest.raises(ApiError, match="Too large resource version: 1000, current: "):
        store.watching(CONFIG_MAPS, Filter(CONFIG_MAPS), 1000)
