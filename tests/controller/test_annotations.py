"""What Services and slices can ask for by annotation, and what becomes of it if they ask wrongly."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace as with_

import pytest
from msgspec.structs import replace

from cluster import CLUSTER_IP, compiled, piece, service, view
from controller.annotations import MOST_WEIGHT, PICK, WEIGHT
from controller.compile import compile_service
from controller.compiler import Compiler
from controller.objects import EndpointSlice, Service
from dataplane.table import Client, Forward, ForwardingTable, FrontendKey, Pick, Pool, Protocol

TWO = piece("web", "b1", "b3")


def picked_by(text: str) -> Service:
    of = service("web")
    return replace(of, metadata=replace(of.metadata, annotations={PICK: text}))


def weighing(of: EndpointSlice, text: str) -> EndpointSlice:
    return replace(of, metadata=replace(of.metadata, annotations={WEIGHT: text}))


def pool_of(table: ForwardingTable) -> Pool:
    verdict = table.frontends[FrontendKey(CLUSTER_IP, Protocol.TCP, 80)].verdict(Client.POD)
    assert isinstance(verdict, Forward)
    return verdict.pool


def complaints(of: Service, *slices: EndpointSlice, known: Collection[Pick] = Pick) -> tuple[str, ...]:
    return compile_service(of, slices, with_(view(), picks=frozenset(known))).complaints


@pytest.mark.parametrize("pick", list(Pick))
def test_a_service_can_ask_for_any_way_to_pick(pick: Pick) -> None:
    assert pool_of(compiled(picked_by(pick.value), TWO)).pick is pick
    assert complaints(picked_by(pick.value), TWO) == ()


def test_without_annotations_nothing_is_asked_for() -> None:
    pool = pool_of(compiled(service("web"), TWO))
    assert (pool.pick, [backend.weight for backend in pool.backends]) == (None, [1, 1])


@pytest.mark.parametrize("text", ["", "Random", "fastest", "random "])
def test_a_pick_that_nobody_knows_counts_as_not_written_and_is_complained_about(text: str) -> None:
    assert pool_of(compiled(picked_by(text), TWO)).pick is None
    (complaint,) = complaints(picked_by(text), TWO)
    assert complaint == (
        "svcplane.dev/pick: expected one of random, round-robin, least-connections, maglev, "
        f"found {text!r}; it counts as not written"
    )


def test_a_pick_that_this_mode_does_not_know_counts_as_not_written_and_is_complained_about() -> None:
    node = with_(view(), picks=frozenset({Pick.RANDOM}))
    assert pool_of(compiled(picked_by("maglev"), TWO, node=node)).pick is None
    (complaint,) = complaints(picked_by("maglev"), TWO, known={Pick.RANDOM})
    assert complaint == (
        "svcplane.dev/pick: 'maglev' is not known to this node's mode, which knows random; it counts as not written"
    )


def test_two_slices_make_a_canary() -> None:
    stable, canary = weighing(piece("web", "b1", name="a"), "90"), weighing(piece("web", "b3", name="b"), "10")
    pool = pool_of(compiled(service("web"), stable, canary))
    assert [backend.weight for backend in pool.backends] == [90, 10]
    assert [pool.drawn.count(backend) for backend in pool.backends] == [9, 1]


def test_weights_that_are_all_alike_are_none() -> None:
    pool = pool_of(compiled(service("web"), weighing(TWO, "50")))
    assert pool.drawn == pool.backends


@pytest.mark.parametrize("text", ["0", "101", "-1", "1.5", "", "many", "1_0", "²", "٣", " 7", "9" * 5000])
def test_a_weight_that_is_none_is_taken_as_1_and_complained_about(text: str) -> None:
    odd = weighing(TWO, text)
    assert {backend.weight for backend in pool_of(compiled(service("web"), odd)).backends} == {1}
    (complaint,) = complaints(service("web"), odd)
    expected = f"expected a number from 1 to {MOST_WEIGHT}, found {text!r}; taken as 1"
    assert complaint == f"svcplane.dev/weight of EndpointSlice web-1: {expected}"


def test_a_service_that_is_not_proxied_is_not_complained_about() -> None:
    headless = replace(picked_by("fastest"), spec=replace(service("web").spec, cluster_ip="None"))
    assert complaints(headless, TWO) == ()


def test_complaints_go_when_their_reason_goes() -> None:
    subject, key = Compiler(view()), ("default", "web")
    subject.update({key: (picked_by("fastest"), [TWO])})
    assert list(subject.complaints) == [key]
    subject.update({key: (picked_by("random"), [TWO])})
    assert subject.complaints == {}
