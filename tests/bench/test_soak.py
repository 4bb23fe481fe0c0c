"""The soak does the same for the same seed, and notices what is wrong."""

from __future__ import annotations

import random

import pytest

from bench.soak import expected
from bench.soak.addresses import FAMILIES, SERVICE_CIDRS, endpoint, slot_of
from bench.soak.agent import Holdings, growth
from bench.soak.changes import SLOTS, STEADY, Changes
from bench.soak.expected import Question
from dataplane.table import Client, Forward, FrontendKey, Protocol
from lab.api.store import Store


def changed(seed: int, times: int = 100) -> tuple[Store, list[str]]:
    store = Store(seed=seed, service_networks=SERVICE_CIDRS)
    changes = Changes(store, random.Random(seed))
    return store, [changes.one() for _ in range(times)]


def test_the_same_seed_makes_the_same_happen() -> None:
    (one, said), (other, said_again) = changed(5), changed(5)
    assert said == said_again
    assert expected.table(one) == expected.table(other)
    assert changed(6)[1] != said


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("slot", [0, 7, SLOTS])
def test_an_endpoint_s_address_tells_its_service(slot: int, family: int) -> None:
    assert slot_of(endpoint(slot, 3, family)) == slot


def test_steady_services_can_always_be_reached_by_pods() -> None:
    table = expected.table(changed(5, times=400)[0])
    for slot in range(STEADY):
        for port in (80, 81):
            frontend = table.frontends[FrontendKey(f"10.96.1.{slot}", Protocol.TCP, port)]
            assert isinstance(frontend.verdict(Client.POD), Forward)


def test_an_answer_from_elsewhere_and_a_missing_one_are_mistakes() -> None:
    table = expected.table(changed(5)[0])
    question = Question("tcp", "10.96.1.0", 80, 3)
    verdict = table.frontends[FrontendKey("10.96.1.0", Protocol.TCP, 80)].pod
    assert isinstance(verdict, Forward)
    right = [f"{b.address} {b.port}" for b in verdict.pool.backends][:1]
    assert expected.mistakes(table, Client.POD, {question: right}) == {}
    for wrong in ([""], ["10.200.3.1 8080"], [*right, ""]):
        assert list(expected.mistakes(table, Client.POD, {question: wrong})) == [question]


def test_nobody_must_answer_where_nothing_is() -> None:
    table = expected.table(changed(5)[0])
    question = Question("udp", "10.96.1.200", 53, 1)
    assert expected.mistakes(table, Client.POD, {question: [""]}) == {}
    assert expected.mistakes(table, Client.POD, {question: ["10.200.1.1 8053"]}) != {}


def test_a_service_that_comes_has_a_name_that_none_had() -> None:
    _, said = changed(5, times=2000)
    came = [what.split()[1] for what in said if what.startswith("create")]
    assert len(came) > 50
    assert len(set(came)) == len(came)


def test_what_goes_on_growing_is_a_leak() -> None:
    (said,) = growth([Holdings(20, 3, 70 + 0.5 * number) for number in range(30)])
    assert "resident_mb grew from 77.25 to 82.25" in said
    (said,) = growth([Holdings(20 + number, 3, 70) for number in range(30)])
    assert "descriptors" in said


def test_what_levels_off_after_the_start_is_none() -> None:
    assert growth([Holdings(20, 3, min(85, 70 + 2 * number)) for number in range(30)]) == []


def test_one_look_in_the_middle_of_a_reconnect_is_none() -> None:
    looks = [Holdings(20, 3, 85)] * 29
    assert growth([*looks, Holdings(40, 12, 99)]) == []
