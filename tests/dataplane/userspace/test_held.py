"""Places that are wanted by holders, and by connections that outlive them."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from dataplane.table import Endpoint
from dataplane.userspace.held import Held, User

USERS = [(service, Endpoint("10.244.1.1", port)) for service in ("a", "b") for port in (1, 2)]
some_users = st.frozensets(st.sampled_from(USERS))
holdings = st.dictionaries(st.integers(0, 4), some_users)
steps = st.lists(st.tuples(st.integers(0, 2), holdings, some_users), max_size=12)


@given(steps)
def test_a_place_is_wanted_while_somebody_holds_it_or_a_connection_goes_on(
    history: list[tuple[int, dict[int, frozenset[User]], frozenset[User]]],
) -> None:
    held: Held[int] = Held()
    holders: dict[int, dict[int, frozenset[User]]] = {}
    left: dict[int, set[User]] = {}
    known: set[int] = set()

    for holder, new, busy in history:
        old = holders.get(holder, {})
        for place, users in old.items():
            left.setdefault(place, set()).update(users - new.get(place, frozenset()))
        holders[holder] = new
        come = held.replace(old, new)
        gone = held.prune(busy.__contains__)

        left = {place: users & busy for place, users in left.items()}
        wanted = {place for each in holders.values() for place in each} | {place for place in left if left[place]}
        assert set(held) == wanted
        assert len(list(held)) == len(wanted)
        assert {place for place in range(5) if place in held} == wanted
        assert not known & set(come)
        known = (known | set(come)) - set(gone)
        assert known == wanted


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(USERS))), some_users)
def test_what_is_kept_goes_with_its_last_connection(kept: list[tuple[int, User]], busy: frozenset[User]) -> None:
    held: Held[int] = Held()

    def come() -> Iterator[int]:
        for place, user in kept:
            if held.keep(place, user):
                yield place

    assert sorted(come()) == sorted({place for place, _ in kept})
    held.prune(busy.__contains__)
    assert set(held) == {place for place, user in kept if user in busy}
