"""The ways to pick a backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.table import Backend, Forward, ForwardingTable, Frontend, FrontendKey, Pick, Pool, Protocol
from dataplane.userspace.engine import Engine
from dataplane.userspace.limits import Limits
from dataplane.userspace.maglev import maglev_report, maglev_table
from native.library import lib
from small_node import HOST, LIMITS, Node

VIP = "10.96.0.10"


def web(count: int, weights: tuple[int, ...] = (), pick: Pick | None = None) -> ForwardingTable:
    """One Service with so many backends."""
    weights = weights or (1,) * count
    backends = [Backend(f"10.244.2.{number}", 8080, False, weight) for number, weight in enumerate(weights)]
    pool = Pool(tuple(backends), pick=pick)
    key = FrontendKey(VIP, Protocol.TCP, 80)
    forward = Forward(pool, False)
    return ForwardingTable({key: Frontend(key, "default/web:http", forward, forward, forward)})


@contextmanager
def picking(pick: Pick, count: int, seed: int = 1) -> Iterator[Node]:
    with Engine(HOST, limits=replace(LIMITS, maglevs=1), pick=pick, seed=seed) as engine:
        engine.apply(web(count))
        yield Node(engine)


def connect(node: Node, port: int) -> str:
    """The address of the backend."""
    backend = node.send("10.244.1.10", port, VIP, 80).backend
    assert backend is not None
    return backend.address


def test_by_chance_every_backend_gets_its_share() -> None:
    with picking(Pick.RANDOM, 4) as node:
        shares = Counter(connect(node, port) for port in range(1000, 1400))
    # Chi-square with three degrees of freedom: one in a million is above 30.66. The seed makes it the same each time.
    assert sum((share - 100) ** 2 / 100 for share in shares.values()) < 30.66


def test_round_robin_gives_everyone_a_turn() -> None:
    with picking(Pick.ROUND_ROBIN, 3) as node:
        picked = [connect(node, port) for port in range(1000, 1009)]
    assert set(Counter(picked).values()) == {3}
    assert picked[:3] == picked[3:6] == picked[6:]


def test_least_connections_evens_out_what_ended() -> None:
    with picking(Pick.LEAST_CONNECTIONS, 3) as node:
        before = Counter(connect(node, port) for port in range(1000, 1009))
        assert set(before.values()) == {3}
        extended = web(4)
        node.engine.apply(extended)
        assert [connect(node, port) for port in range(2000, 2003)] == ["10.244.2.3"] * 3


def hosts(*numbers: int) -> tuple[str, ...]:
    return tuple(f"10.244.2.{number}" for number in numbers)


def served_by(*numbers: int, weights: tuple[int, ...] = ()) -> ForwardingTable:
    """The Service of `web`, with these of its backends."""
    pairs = zip(hosts(*numbers), weights or (1,) * len(numbers), strict=True)
    pool = Pool(tuple(Backend(address, 8080, False, weight) for address, weight in pairs))
    forward = Forward(pool, False)
    key = FrontendKey(VIP, Protocol.TCP, 80)
    return ForwardingTable({key: Frontend(key, "default/web:http", forward, forward, forward)})


def at_the_turn_of(node: Node, number: int, ports: Iterator[int]) -> None:
    while connect(node, next(ports)) != f"10.244.2.{number}":
        pass


@pytest.mark.parametrize(
    ("after", "next_ones"),
    [
        pytest.param((0, 1, 2, 3), (2, 3, 0, 1), id="the same"),
        pytest.param((0, 1, 2, 3, 4), (2, 3, 4, 0), id="one comes behind"),
        pytest.param((0, 2, 3), (2, 3, 0, 2), id="the one that had it goes"),
        pytest.param((1, 2, 3), (2, 3, 1, 2), id="one before it goes"),
        pytest.param((0, 1), (0, 1, 0, 1), id="all behind it go"),
        pytest.param((5, 6), (6, 5, 6, 5), id="all are others"),
    ],
)
def test_round_robin_goes_on_from_where_it_stood_when_backends_change(
    after: tuple[int, ...], next_ones: tuple[int, ...]
) -> None:
    with picking(Pick.ROUND_ROBIN, 4) as node:
        ports = iter(range(1000, 2000))
        at_the_turn_of(node, 1, ports)
        node.engine.apply(served_by(*after))
        assert tuple(connect(node, next(ports)) for _ in next_ones) == hosts(*next_ones)


def test_round_robin_goes_on_when_another_service_comes() -> None:
    with picking(Pick.ROUND_ROBIN, 4) as node:
        ports = iter(range(1000, 2000))
        at_the_turn_of(node, 1, ports)
        node.engine.apply(ForwardingTable({**web(4).frontends, **webs([1]).frontends}))
        assert [connect(node, next(ports)) for _ in range(3)] == list(hosts(2, 3, 0))


def test_round_robin_goes_on_when_the_whole_table_is_loaded_anew() -> None:
    with picking(Pick.ROUND_ROBIN, 4) as node:
        ports = iter(range(1000, 2000))
        at_the_turn_of(node, 1, ports)
        node.engine.cleanup()
        assert node.engine.apply(web(4)).full
        assert [connect(node, next(ports)) for _ in range(3)] == list(hosts(2, 3, 0))


def test_changes_without_end_leave_everyone_the_turns_of_its_weight() -> None:
    """The backends change before each connection, and are again as they were before the next."""
    with picking(Pick.ROUND_ROBIN, 1) as node:
        shares: Counter[str] = Counter()
        for port in range(1000, 1080):
            node.engine.apply(served_by(0, 1, 2, 3, weights=(2, 1, 1, 1)))
            node.engine.apply(served_by(0, 1, 2, weights=(2, 1, 1)))
            shares[connect(node, port)] += 1
    assert shares == dict(zip(hosts(0, 1, 2), (40, 20, 20), strict=True))


def test_what_a_service_asks_for_comes_before_the_engines_own_way() -> None:
    with Engine(HOST, limits=LIMITS, pick=Pick.RANDOM, seed=1) as engine:
        engine.apply(web(3, pick=Pick.ROUND_ROBIN))
        picked = [connect(Node(engine), port) for port in range(1000, 1009)]
    assert picked[:3] == picked[3:6] == picked[6:]
    assert len(set(picked)) == 3


@pytest.mark.parametrize("pick", list(Pick))
def test_every_way_to_pick_heeds_weights(pick: Pick) -> None:
    with Engine(HOST, limits=replace(LIMITS, flows=1000), pick=pick, seed=1) as engine:
        engine.apply(web(3, (60, 30, 10)))
        shares = Counter(connect(Node(engine), port) for port in range(1000, 2000))
    expected = {"10.244.2.0": 600, "10.244.2.1": 300, "10.244.2.2": 100}
    # Chi-square with two degrees of freedom: one in a million is above 27.63.
    assert sum((shares[name] - share) ** 2 / share for name, share in expected.items()) < 27.63
    if pick in (Pick.ROUND_ROBIN, Pick.LEAST_CONNECTIONS):
        assert shares == expected


def test_round_robin_spreads_the_turns_of_a_heavy_backend() -> None:
    with Engine(HOST, limits=LIMITS, pick=Pick.ROUND_ROBIN, seed=1) as engine:
        engine.apply(web(2, (5, 3)))
        picked = "".join(connect(Node(engine), port)[-1] for port in range(1000, 1016))
    assert picked[:8] == picked[8:]
    assert "000" not in picked
    assert "11" not in picked


def test_two_engines_with_one_seed_agree_by_maglev_whatever_they_have_seen() -> None:
    with picking(Pick.MAGLEV, 5) as one, picking(Pick.MAGLEV, 5) as other:
        connect(one, 999)
        ports = range(1000, 1100)
        assert [connect(one, port) for port in ports] == [connect(other, port) for port in reversed(ports)][::-1]


def test_maglev_keeps_most_connections_where_they_are_when_one_backend_leaves() -> None:
    with picking(Pick.MAGLEV, 10) as ten, picking(Pick.MAGLEV, 9) as nine:
        pairs = [(connect(ten, port), connect(nine, port)) for port in range(1000, 1400)]
    stayed = [before == after for before, after in pairs if before != "10.244.2.9"]
    assert sum(stayed) / len(stayed) > 0.9


def webs(services: Iterable[int], count: int = 2) -> ForwardingTable:
    """So many Services that ask for Maglev, each with backends of its own."""
    frontends = {}
    for number in services:
        pool = Pool(tuple(Backend(f"10.244.{number}.{n}", 8080, False) for n in range(count)), pick=Pick.MAGLEV)
        forward = Forward(pool, False)
        key = FrontendKey(f"10.96.1.{number}", Protocol.TCP, 80)
        frontends[key] = Frontend(key, f"default/web-{number}:http", forward, forward, forward)
    return ForwardingTable(frontends)


def goes_by_address(node: Node, number: int, again: Node) -> bool:
    """Whether both engines, which have drawn differently before, send connections of a Service to the same backends."""

    def picked(by: Node) -> list[str]:
        results = [by.send("10.244.0.10", port, f"10.96.1.{number}", 80) for port in range(1000, 1032)]
        return [result.backend.address for result in results if result.backend is not None]

    one, other = picked(node), picked(again)
    assert len(one) == len(other) == 32, "a connection was not served"
    return one == other


@contextmanager
def two_engines(maglevs: int) -> Iterator[tuple[Node, Node]]:
    """With the same hashes; the second has drawn before, so that what is left to chance comes out differently."""
    limits = replace(LIMITS, frontends=100, maglevs=maglevs)
    with Engine(HOST, limits=limits, seed=1) as one, Engine(HOST, limits=limits, seed=1) as other:
        other.apply(web(2))
        connect(Node(other), 999)
        yield Node(one), Node(other)


def test_services_beyond_the_tables_for_maglev_are_served_at_random(caplog: pytest.LogCaptureFixture) -> None:
    default = Limits().maglevs
    with two_engines(default) as nodes:
        for node in nodes:
            node.engine.apply(webs(range(default + 1)))
            assert node.engine.without_maglev == 1
        by_address = [goes_by_address(nodes[0], number, nodes[1]) for number in (0, default - 1, default)]
    assert by_address == [True, True, False]
    assert [record.getMessage().split()[0] for record in caplog.records] == ["1", "1"]


def test_a_service_gets_the_maglev_table_that_another_gives_back() -> None:
    with two_engines(1) as nodes:
        for node in nodes:
            node.engine.apply(webs([1, 2]))
            assert node.engine.without_maglev == 1
            node.engine.apply(webs([2]))
            assert node.engine.without_maglev == 0
        assert goes_by_address(nodes[0], 2, nodes[1])


def test_a_service_that_changes_keeps_maglev_where_all_tables_are_taken() -> None:
    with two_engines(1) as nodes:
        for node in nodes:
            node.engine.apply(webs([1]))
            assert not node.engine.apply(webs([1], count=3)).full
            assert node.engine.without_maglev == 0
        assert goes_by_address(nodes[0], 1, nodes[1])


def test_more_backends_than_a_maglev_table_has_room_for_are_picked_from_at_random() -> None:
    backends = tuple(Backend(f"10.245.{n // 250}.{n % 250}", 8080, False) for n in range(lib.MAGLEV_BACKENDS + 1))
    forward = Forward(Pool(backends, pick=Pick.MAGLEV), False)
    key = FrontendKey(VIP, Protocol.TCP, 80)
    limits = replace(LIMITS, maglevs=1, backends=10_000, tallies=10_000)
    with Engine(HOST, limits=limits, seed=1) as engine:
        engine.apply(ForwardingTable({key: Frontend(key, "default/web:http", forward, forward, forward)}))
        assert engine.without_maglev == 1
        assert len({connect(Node(engine), port) for port in range(1000, 1032)}) > 16


def test_where_there_is_no_choice_no_maglev_table_is_needed() -> None:
    with Engine(HOST, limits=replace(LIMITS, maglevs=0), pick=Pick.MAGLEV, seed=1) as engine:
        engine.apply(web(1))
        assert engine.without_maglev == 0


@given(st.sets(st.text(max_size=5), min_size=1, max_size=60))
def test_the_shares_of_maglev_differ_by_one_slot_at_the_most(names: set[str]) -> None:
    shares = Counter(maglev_table(sorted(names)))
    assert len(shares) == len(names)
    assert max(shares.values()) - min(shares.values()) <= 1


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20))
def test_the_shares_of_maglev_are_the_weights_give_or_take_a_slot_for_each_backend(weights: list[int]) -> None:
    slots = maglev_table([str(number) for number in range(len(weights))], weights)
    shares = Counter(slots)
    for number, weight in enumerate(weights):
        assert abs(shares[number] - len(slots) * weight / sum(weights)) <= len(weights)


def test_of_four_hundred_backends_one_leaves_and_few_slots_of_the_others_move() -> None:
    report = maglev_report(400)
    assert report.imbalance < 0.01
    assert report.moved < 0.02
    assert str(report).startswith("400 backends on 65537 slots")


@pytest.mark.parametrize("names", [[], ["same", "same"], [str(number) for number in range(6554)]])
def test_maglev_needs_names_that_differ_and_not_too_many(names: list[str]) -> None:
    with pytest.raises(ValueError, match="expected 1 to 6553 different names"):
        maglev_table(names)
