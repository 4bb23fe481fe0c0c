"""Who is remembered, for how long, and what a change does to the memory."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import get_native_id
from typing import Any

import pytest

from dataplane.netlink.channel import Channel
from dataplane.nft import dump, elements, fields, texts
from dataplane.nft.layer3 import LAYERS
from dataplane.nft.transaction import RefusedError, Transaction
from dataplane.nftables import NftablesDataplane, remembering
from dataplane.nftables.affinity import known_clients, memory
from dataplane.table import Affinity, Forward, Pool, Protocol
from fault import fault
from lab.network.syscalls import enter_network

WEB = Affinity("default/web:http/TCP", 60)
MAP = "affinity-default/web/http/TCP-8080"


def names(tables: Any, *pools: Pool) -> list[str]:
    return [m.name for m in memory(LAYERS[tables.family], WEB.name, Protocol.TCP, pools).maps]


class Memory:
    """The kernel's affinity maps, for tests to read and write."""

    def __init__(self, tables: Any) -> None:
        self.layer = LAYERS[tables.family]

    def known(self, name: str = MAP) -> dict[str, str]:
        """Client → backend address."""
        return {texts.address(e.key): texts.address(elements.value_of(e.tail)) for e in self._entries(name)}

    def left(self, name: str = MAP) -> dict[str, float]:
        """Client → seconds until it is forgotten; of a set too."""
        return {texts.address(e.key): e.expires / 1000 for e in self._entries(name)}

    def _entries(self, name: str) -> list[dump.FoundElement]:
        with Channel() as channel:
            return dump.set_elements(channel, self.layer, name)

    def write(self, client: str, backend: str, seconds: int, name: str = MAP) -> None:
        tail = elements.expiring(elements.value_tail(fields.address(backend)), seconds * 1000)
        self.write_all(name, [(fields.address(client), tail)])

    def write_all(self, name: str, members: list[elements.Element]) -> None:
        transaction = Transaction()
        transaction.add_elements(self.layer, name, members)
        with Channel() as channel:
            transaction.commit(channel)


def test_pools_that_hold_the_same_backends_share_one_map(tables: Any) -> None:
    assert names(tables, tables.pool(1, 2, affinity=WEB)) == [MAP]


def test_backends_that_only_some_pools_hold_are_remembered_apart(tables: Any) -> None:
    everybody, local = tables.pool(1, 2, 3, affinity=WEB), tables.pool(1, affinity=WEB)
    assert names(tables, everybody, local) == [MAP, f"{MAP}.only-1"]
    assert names(tables, tables.pool(1, 2, affinity=WEB), tables.pool(3, affinity=WEB)) == [
        f"{MAP}.only-1",
        f"{MAP}.only-2",
    ]


def test_backends_with_different_ports_are_remembered_apart(tables: Any) -> None:
    both = Pool((*tables.pool(1, affinity=WEB).backends, *tables.pool(2, port=9090).backends), WEB)
    assert names(tables, both) == [MAP, MAP.replace("8080", "9090")]


def test_names_of_any_kind_get_chains_of_their_own(tables: Any) -> None:
    layer, pools = LAYERS[tables.family], [tables.pool(1, 2, affinity=WEB)]
    given = ["a b", "a:b", "a/b", "a-b", "x" * 300, "x" * 301, "ü", "ö", ""]
    made = {name: memory(layer, name, Protocol.TCP, pools) for name in given}
    assert len({m.entries for m in made.values()}) == len(given)
    assert len({m.maps[0].name for m in made.values()}) == len(given)
    assert all(len(chain.name) <= 255 for m in made.values() for chain in m.chains)


@pytest.mark.kernel
def test_a_client_stays_and_many_clients_spread(
    tables: Any, host: Callable[[], Any], in_new_namespace: Callable[..., Any]
) -> None:
    table = tables.table(tables.frontend(tables.vip(1), 80, Forward(tables.pool(1, 2, 3, affinity=WEB), False)))

    def work() -> None:
        network = host()
        network.serve(1, 2, 3)
        NftablesDataplane().apply(table)
        one = {network.answered(tables.vip(1), 80, tables.pod(9)) for _ in range(20)}
        assert len(one) == 1
        many = Counter(network.answered(tables.vip(1), 80, tables.pod(n)) for n in range(10, 30))
        assert len(many) > 1
        assert Memory(tables).known()[tables.pod(9)] == one.pop()
        network.close()

    in_new_namespace(work)


@pytest.mark.kernel
def test_a_full_memory_still_serves(tables: Any, host: Callable[[], Any], in_new_namespace: Callable[..., Any]) -> None:
    table = tables.table(tables.frontend(tables.vip(1), 80, Forward(tables.pool(1, 2, affinity=WEB), False)))

    def work() -> None:
        network = host()
        network.serve(1, 2)
        NftablesDataplane().apply(table)
        tail = elements.value_tail(fields.address(tables.pod(1)))
        width = len(fields.address(tables.pod(1)))
        clients = [(n.to_bytes(width, "big"), tail) for n in range(1 << 24, (1 << 24) + 65535)]
        Memory(tables).write_all(MAP, clients)
        spread = {network.answered(tables.vip(1), 80, tables.pod(9)) for _ in range(30)}
        assert spread == {tables.pod(1), tables.pod(2)}
        assert tables.pod(9) not in Memory(tables).known()
        network.close()

    in_new_namespace(work)


@pytest.mark.kernel
def test_every_address_and_scope_of_a_service_port_shares_one_memory(
    tables: Any, host: Callable[[], Any], in_new_namespace: Callable[..., Any]
) -> None:
    everybody, some = tables.pool(1, 2, 3, affinity=WEB), tables.pool(1, 2, affinity=WEB)
    table = tables.table(
        tables.frontend(tables.vip(1), 80, Forward(everybody, False)),
        tables.frontend(tables.vip(2), 80, Forward(some, False)),
    )

    def work() -> None:
        network = host()
        network.serve(1, 2, 3)
        NftablesDataplane().apply(table)
        for client in range(9, 30):
            source = tables.pod(client)
            first = network.answered(tables.vip(1), 80, source)
            second = network.answered(tables.vip(2), 80, source)
            assert second == first or first == tables.pod(3)
            # A memory that counts for both wins over one that counts for the first alone.
            assert network.answered(tables.vip(1), 80, source) == second
        network.close()

    in_new_namespace(work)


@pytest.mark.kernel
def test_entries_of_a_backend_that_left_are_forgotten_and_the_others_stay(
    tables: Any, in_new_namespace: Callable[..., Any]
) -> None:
    def table(*pods: int) -> Any:
        return tables.table(tables.frontend(tables.vip(1), 80, Forward(tables.pool(*pods, affinity=WEB), False)))

    def work() -> None:
        dataplane, remembered = NftablesDataplane(), Memory(tables)
        dataplane.apply(table(1, 2))
        for client in range(10, 20):
            remembered.write(tables.pod(client), tables.pod(1 + client % 2), 50)
        assert not dataplane.audit()
        dataplane.apply(table(2, 3))
        assert remembered.known() == {tables.pod(c): tables.pod(2) for c in range(11, 20, 2)}
        assert not dataplane.tampered()

    in_new_namespace(work)


@pytest.mark.kernel
def test_entries_move_with_a_backend_that_only_some_pools_hold_now_and_back(
    tables: Any, in_new_namespace: Callable[..., Any]
) -> None:
    def table(*local: int) -> Any:
        everybody = tables.pool(1, 2, 3, affinity=WEB)
        some = tables.pool(*local, affinity=WEB)
        return tables.table(
            tables.frontend(tables.vip(1), 80, Forward(everybody, False)),
            tables.frontend(tables.any, 30080, Forward(some, False)),
        )

    def work() -> None:
        dataplane, remembered = NftablesDataplane(), Memory(tables)
        dataplane.apply(table(1, 2, 3))
        remembered.write(tables.pod(10), tables.pod(1), 50)
        remembered.write(tables.pod(11), tables.pod(2), 40)
        dataplane.apply(table(1))
        assert remembered.known() == {tables.pod(10): tables.pod(1)}
        assert remembered.known(f"{MAP}.only-1") == {tables.pod(11): tables.pod(2)}
        assert remembered.left(f"{MAP}.only-1")[tables.pod(11)] <= 40
        dataplane.apply(table(1, 2, 3))
        assert remembered.known() == {tables.pod(10): tables.pod(1), tables.pod(11): tables.pod(2)}
        assert not dataplane.audit()

    in_new_namespace(work)


@fault(
    "clients that session affinity remembers cannot be moved to another map",
    place=86,
    seen="those clients may get another backend, once; a line of the log",
    well="tries after 0.5 s, 1 s, ... 30 s, of that alone",
    kube_proxy="needs not move any: each endpoint has a set of its own",
)
@pytest.mark.kernel
def test_clients_that_cannot_be_moved_at_once_are_moved_later_to_where_they_belong_then(
    tables: Any, in_new_namespace: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def table(*local: int) -> Any:
        everybody = tables.pool(1, 2, 3, affinity=WEB)
        some = tables.pool(*local, affinity=WEB)
        return tables.table(
            tables.frontend(tables.vip(1), 80, Forward(everybody, False)),
            tables.frontend(tables.any, 30080, Forward(some, False)),
        )

    relocate, refusals = remembering.relocate, []

    def refuse_at_first(*arguments: Any) -> int:
        if refusals:
            raise refusals.pop()
        return relocate(*arguments)

    monkeypatch.setattr(remembering, "relocate", refuse_at_first)

    def work() -> None:
        dataplane, remembered = NftablesDataplane(), Memory(tables)
        dataplane.apply(table(1, 2, 3))
        remembered.write(tables.pod(10), tables.pod(1), 50)
        remembered.write(tables.pod(11), tables.pod(2), 40)
        refusals.extend([RefusedError("no memory", errno.ENOMEM)] * 2)
        for now in (table(1), table(1, 2)):
            applied = dataplane.apply(now)
            assert "cannot be moved yet: no memory" in applied.unfinished
            assert not dataplane.audit()  # the rules are in force
        applied = dataplane.apply(table(1))
        assert (applied.full, applied.unfinished) == (False, "")
        assert remembered.known() == {tables.pod(10): tables.pod(1)}
        assert remembered.known(f"{MAP}.only-1") == {tables.pod(11): tables.pod(2)}
        refusals.append(RefusedError("no memory", errno.ENOMEM))
        dataplane.apply(table(1, 2, 3))
        assert dataplane.apply(table(1, 2, 3)).unfinished == ""
        assert remembered.known() == {tables.pod(10): tables.pod(1), tables.pod(11): tables.pod(2)}
        assert not dataplane.audit()

    in_new_namespace(work)


@pytest.mark.kernel
@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "at a restart"])
def test_whoever_is_in_one_of_several_maps_is_known_to_be_there(
    tables: Any, restarted: bool, in_new_namespace: Callable[..., Any]
) -> None:
    def table(*local: int) -> Any:
        everybody, some = tables.pool(1, 2, 3, affinity=WEB), tables.pool(*local, affinity=WEB)
        return tables.table(
            tables.frontend(tables.vip(1), 80, Forward(everybody, False)),
            tables.frontend(tables.any, 30080, Forward(some, False)),
        )

    def work() -> None:
        dataplane, remembered = NftablesDataplane(), Memory(tables)
        dataplane.apply(table(1, 2, 3))  # one map, so nobody asks where somebody is
        for client, seconds in ((10, 50), (11, 40), (12, 30)):
            remembered.write(tables.pod(client), tables.pod(client - 9), seconds)
        for local in ((1,), (1, 2), (3,)):
            dataplane = NftablesDataplane() if restarted else dataplane
            dataplane.apply(table(*local))
            for name in (MAP, f"{MAP}.only-1"):
                known = remembered.left(known_clients(name))
                assert known.keys() == remembered.known(name).keys()
                assert all(abs(left - known[client]) < 9 for client, left in remembered.left(name).items())
            assert remembered.known().keys() == {tables.pod(9 + pod) for pod in local}
            assert not dataplane.audit()

    in_new_namespace(work)


@pytest.mark.kernel
def test_who_is_known_and_comes_again_is_remembered_longer(
    tables: Any, host: Callable[[], Any], in_new_namespace: Callable[..., Any]
) -> None:
    everybody, some = tables.pool(1, 2, 3, affinity=WEB), tables.pool(1, affinity=WEB)
    table = tables.table(
        tables.frontend(tables.vip(1), 80, Forward(everybody, False)),
        tables.frontend(tables.vip(2), 80, Forward(some, False)),
    )

    def work() -> None:
        network, remembered = host(), Memory(tables)
        network.serve(1, 2, 3)
        NftablesDataplane().apply(table)
        elsewhere = f"{MAP}.only-1"
        remembered.write(tables.pod(9), tables.pod(2), 20, elsewhere)
        remembered.write_all(
            known_clients(elsewhere), [(fields.address(tables.pod(9)), elements.expiring(elements.NO_TAIL, 20_000))]
        )
        assert network.answered(tables.vip(1), 80, tables.pod(9)) == tables.pod(2)
        for name in (elsewhere, known_clients(elsewhere)):
            assert remembered.left(name)[tables.pod(9)] > 40
        network.close()

    in_new_namespace(work)


@pytest.mark.kernel
def test_memory_survives_a_restart_but_not_what_changed_in_the_meantime(
    tables: Any, in_new_namespace: Callable[..., Any]
) -> None:
    def table(*pods: int) -> Any:
        return tables.table(tables.frontend(tables.vip(1), 80, Forward(tables.pool(*pods, affinity=WEB), False)))

    def work() -> None:
        remembered = Memory(tables)
        NftablesDataplane().apply(table(1, 2))
        remembered.write(tables.pod(10), tables.pod(1), 50)
        remembered.write(tables.pod(11), tables.pod(2), 50)
        assert NftablesDataplane().apply(table(2, 3)).full
        assert remembered.known() == {tables.pod(11): tables.pod(2)}

    in_new_namespace(work)


@pytest.mark.kernel
@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "at a restart"])
def test_another_timeout_counts_for_old_entries_too(
    tables: Any, restarted: bool, in_new_namespace: Callable[..., Any]
) -> None:
    def table(seconds: int) -> Any:
        pool = tables.pool(1, affinity=Affinity(WEB.name, seconds))
        return tables.table(tables.frontend(tables.vip(1), 80, Forward(pool, False)))

    def work() -> None:
        remembered, dataplane = Memory(tables), NftablesDataplane()
        dataplane.apply(table(1000))
        remembered.write(tables.pod(10), tables.pod(1), 990)  # ten seconds old
        remembered.write(tables.pod(11), tables.pod(1), 500)
        dataplane = NftablesDataplane() if restarted else dataplane
        dataplane.apply(table(100))
        left = remembered.left()
        assert left.keys() == {tables.pod(10)}
        assert 60 < left[tables.pod(10)] <= 90
        assert not dataplane.audit()
        dataplane.apply(table(2000))
        assert 1900 < remembered.left()[tables.pod(10)] <= 1990

    in_new_namespace(work)


@pytest.mark.kernel
def test_who_moves_to_a_map_with_another_timeout_is_as_old_there(
    tables: Any, in_new_namespace: Callable[..., Any]
) -> None:
    def table(seconds: int, *local: int) -> Any:
        affinity = Affinity(WEB.name, seconds)
        everybody, some = tables.pool(1, 2, affinity=affinity), tables.pool(*local, affinity=affinity)
        return tables.table(
            tables.frontend(tables.vip(1), 80, Forward(everybody, False)),
            tables.frontend(tables.any, 30080, Forward(some, False)),
        )

    def work() -> None:
        dataplane, remembered = NftablesDataplane(), Memory(tables)
        dataplane.apply(table(1000, 1))
        apart = f"{MAP}.only-1"
        remembered.write(tables.pod(10), tables.pod(2), 990, apart)
        remembered.write(tables.pod(11), tables.pod(2), 500, apart)
        assert not dataplane.apply(table(100, 1, 2)).unfinished
        left = remembered.left()
        assert left.keys() == {tables.pod(10)}
        assert 60 < left[tables.pod(10)] <= 90
        assert not dataplane.apply(table(1000, 1)).unfinished
        assert 900 < remembered.left(apart)[tables.pod(10)] <= 990
        assert not dataplane.audit()

    in_new_namespace(work)


@pytest.mark.kernel
def test_a_service_without_affinity_any_more_leaves_nothing(
    tables: Any, in_new_namespace: Callable[..., Any], nft: Callable[..., str]
) -> None:
    def table(affinity: Affinity | None) -> Any:
        return tables.table(tables.frontend(tables.vip(1), 80, Forward(tables.pool(1, 2, affinity=affinity), False)))

    def work() -> None:
        dataplane = NftablesDataplane()
        dataplane.apply(table(WEB))
        assert MAP in nft("list", "ruleset")
        dataplane.apply(table(None))
        assert "web" not in nft("list", "ruleset")
        dataplane.apply(table(WEB))
        assert not dataplane.audit()

    in_new_namespace(work)


@pytest.mark.kernel
def test_first_connections_at_once_agree(
    tables: Any, host: Callable[[], Any], in_new_namespace: Callable[..., Any]
) -> None:
    table = tables.table(tables.frontend(tables.vip(1), 80, Forward(tables.pool(1, 2, 3, 4, affinity=WEB), False)))

    def work() -> None:
        network = host()
        network.serve(1, 2, 3, 4)
        NftablesDataplane().apply(table)
        for client in range(5, 25):
            source = tables.pod(client)
            with ThreadPoolExecutor(
                4, initializer=enter_network, initargs=(f"/proc/self/task/{get_native_id()}/ns/net",)
            ) as several:
                asked = [several.submit(network.connect, tables.vip(1), 80, source) for _ in range(8)]
                for connection in asked:
                    connection.result().close()
            assert len(set(network.accepted(len(asked)))) == 1
        network.close()

    in_new_namespace(work)
