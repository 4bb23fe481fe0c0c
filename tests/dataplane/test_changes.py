"""The difference between two tables: small where little changed, and exact always."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from dataplane.changes import Changes
from dataplane.table import (
    Backend,
    DetectLocal,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
    Reject,
)
from strategies import tables


def frontend(number: int, *backends: str) -> Frontend:
    key = FrontendKey(f"10.96.0.{number}", Protocol.TCP, 80)
    if not backends:
        return Frontend(key, "default/web", Reject(), Reject(), Reject())
    verdict = Forward(Pool(tuple(Backend(address, 8080, False) for address in backends)), False)
    return Frontend(key, "default/web", verdict, verdict, verdict)


def table(*frontends: Frontend) -> ForwardingTable:
    return ForwardingTable({f.key: f for f in frontends})


ONE, TWO, THREE = (frontend(number, "10.244.2.23") for number in (1, 2, 3))
NOBODY = frozenset[str]()


def test_a_frontend_that_came_is_told_with_nothing_before() -> None:
    assert Changes.between(table(ONE), table(ONE, TWO)).frontends == {TWO.key: (None, TWO)}


def test_a_frontend_that_went_is_told_with_nothing_after() -> None:
    assert Changes.between(table(ONE, TWO, THREE), table(ONE, THREE)).frontends == {TWO.key: (TWO, None)}


def test_a_frontend_that_changed_is_told_with_both() -> None:
    other = frontend(1, "10.244.2.24")
    assert Changes.between(table(ONE, TWO), table(other, TWO)).frontends == {ONE.key: (ONE, other)}


def test_a_frontend_that_is_equal_without_being_the_same_object_did_not_change() -> None:
    assert not Changes.between(table(ONE), table(frontend(1, "10.244.2.23")))


def test_frontends_are_told_in_the_order_of_their_table() -> None:
    """Who comes first gets what there is not enough of for all, such as tables for Maglev."""
    for before in (ForwardingTable(), table(frontend(3, "10.244.2.24"))):
        assert list(Changes.between(before, table(THREE, ONE, TWO)).frontends) == [THREE.key, ONE.key, TWO.key]


def test_frontends_in_another_order_did_not_change() -> None:
    assert not Changes.between(table(ONE, TWO, THREE), table(THREE, ONE, TWO))


def test_the_sets_are_told_as_what_went_and_what_came() -> None:
    old = ForwardingTable({}, frozenset({"10.96.0.1"}), frozenset({"10.96.0.0/12"}), frozenset({"192.0.2.1"}))
    new = ForwardingTable({}, frozenset({"10.96.0.2"}), frozenset(), frozenset({"192.0.2.1", "192.0.2.2"}))
    changes = Changes.between(old, new)
    assert changes.cluster_ips == (frozenset({"10.96.0.1"}), frozenset({"10.96.0.2"}))
    assert changes.service_cidrs == (frozenset({"10.96.0.0/12"}), NOBODY)
    assert changes.node_addresses == (NOBODY, frozenset({"192.0.2.2"}))


def test_the_rule_for_pods_is_told_when_it_changed() -> None:
    rule = DetectLocal(("10.244.0.0/16",))
    assert Changes.between(ForwardingTable(), ForwardingTable(detect_local=rule)).detect_local == rule
    assert Changes.between(ForwardingTable(detect_local=rule), ForwardingTable(detect_local=rule)).detect_local is None


def test_the_rule_for_pods_may_change_to_no_rule() -> None:
    told = ForwardingTable(detect_local=DetectLocal(("10.244.0.0/16",)))
    changes = Changes.between(told, ForwardingTable())
    assert changes
    assert changes.apply(told) == ForwardingTable()


@given(tables(), tables())
def test_applied_to_the_old_table_they_make_the_new_one(old: ForwardingTable, new: ForwardingTable) -> None:
    assert Changes.between(old, new).apply(old) == new


@given(tables(), tables())
def test_they_hold_nothing_that_stays_the_same(old: ForwardingTable, new: ForwardingTable) -> None:
    for key, (before, after) in Changes.between(old, new).frontends.items():
        assert before != after
        assert (old.frontends.get(key), new.frontends.get(key)) == (before, after)


@given(tables())
def test_a_table_does_not_differ_from_itself_or_from_its_equal(one: ForwardingTable) -> None:
    assert not Changes.between(one, one)
    assert not Changes.between(one, replace(one, frontends=dict(reversed(list(one.frontends.items())))))


@given(tables(), tables())
def test_tables_differ_exactly_if_there_are_changes(old: ForwardingTable, new: ForwardingTable) -> None:
    assert bool(Changes.between(old, new)) is (old != new)


@given(tables(), tables())
def test_backwards_they_lead_back(old: ForwardingTable, new: ForwardingTable) -> None:
    assert Changes.between(new, old).apply(Changes.between(old, new).apply(old)) == old
