"""What the steering rules hold through any changes of tables, and whoever still has connections."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.table import Backend, DetectLocal, Endpoint, Forward, ForwardingTable, Frontend, FrontendKey, Pool
from dataplane.table import Protocol as Transport
from dataplane.userspace.steered import Steered, User
from strategies import tables

KEY = FrontendKey("10.96.0.10", Transport.TCP, 80)
BACKEND = Endpoint("10.244.1.21", 8080)


def served(*backends: Endpoint) -> ForwardingTable:
    forward = Forward(Pool(tuple(Backend(*backend, True) for backend in backends or (BACKEND,)), None), False)
    frontend = Frontend(KEY, "default/web", forward, forward, forward)
    return ForwardingTable({KEY: frontend}, detect_local=DetectLocal(("10.244.0.0/16",)))


def held(steered: Steered) -> dict[tuple[object, str], int]:
    """By table and set, counted from what would be written where there is nothing."""
    plans = steered.everything()
    return {(layer, name): len(added) for layer, plan in plans.items() for name, added in plan.added.items()}


@settings(max_examples=30)
@given(st.lists(st.tuples(tables(), st.booleans()), max_size=5))
def test_elements_are_counted_as_they_come_and_go(steps: list[tuple[ForwardingTable, bool]]) -> None:
    there_are_connections = False

    def busy(_: User) -> bool:
        return there_are_connections

    steered = Steered(busy)
    for table, busy_then in steps:
        there_are_connections = busy_then
        steered.update(table)
        assert {place: count for place, count in steered.counts.items() if count} == held(steered)
    there_are_connections = False
    steered.update(ForwardingTable())
    steered.prune()
    assert not any(steered.counts.values())


def test_an_element_of_a_connection_that_no_table_knows_of_counts_once() -> None:
    steered = Steered(lambda user: True)
    steered.keep(KEY, BACKEND, ("", BACKEND))
    steered.keep(KEY, BACKEND, ("default/web", BACKEND))
    assert dict(steered.counts) == held(steered)
    steered.update(served())
    assert {place: count for place, count in steered.counts.items() if count} == held(steered)


def test_a_connection_to_a_backend_that_left_goes_on_when_the_service_goes_too() -> None:
    steered = Steered(lambda user: user == ("default/web", BACKEND))
    steered.update(served(BACKEND, Endpoint("10.244.1.22", 8080)))
    steered.update(served(Endpoint("10.244.1.22", 8080)))
    steered.update(ForwardingTable())
    assert sorted(name for _, name in held(steered)) == ["backends", "frontends"]
