"""A change costs what it changes, and no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from dataplane.changes import Changes
from dataplane.nft.layer3 import LAYERS
from dataplane.nft.plan import Plan
from dataplane.nftables.ruleset import Ruleset
from dataplane.table import Affinity, DetectLocal, Drop, Forward, ForwardingTable, Reject

MARK = 0x4000


def plan(tables: Any, *given: ForwardingTable) -> Plan:
    """The plan for the last table, after the others."""
    ruleset = Ruleset(LAYERS[tables.family], given[0].detect_local, MARK)
    before, made = ForwardingTable(), Plan()
    for table in given:
        made = ruleset.update(Changes.between(before, table), table)
        before = table
    return made


def element_changes(made: Plan) -> tuple[int, int]:
    """(Removed, added)"""
    return sum(map(len, made.removed.values())), sum(map(len, made.added.values()))


def web(tables: Any, *pods: int, vip: int = 1, masquerade: bool = False, local: tuple[int, ...] = ()) -> Any:
    return tables.frontend(tables.vip(vip), 80, Forward(tables.pool(*pods, local=local), masquerade))


def test_the_same_table_again_changes_nothing(tables: Any) -> None:
    table = tables.everything()
    assert not plan(tables, table, table)


def test_another_endpoint_costs_its_own_elements(tables: Any) -> None:
    made = plan(tables, tables.table(web(tables, 1, 2, 3)), tables.table(web(tables, 1, 2, 4)))
    assert element_changes(made) == (1, 1)
    assert not made.new_chains
    assert not made.gone_chains


def test_a_new_service_of_a_known_shape_needs_no_chain(tables: Any) -> None:
    first, second = web(tables, 1, 2), web(tables, 1, 2, vip=2)
    made = plan(tables, tables.table(first), tables.table(first, second))
    assert element_changes(made) == (0, 3)
    assert not made.new_chains


def test_the_last_service_of_a_shape_takes_the_chain_with_it(tables: Any) -> None:
    made = plan(tables, tables.table(web(tables, 1, 2)), tables.table())
    assert element_changes(made) == (3, 0)
    assert made.gone_chains.keys() == {"pick-2"}
    assert made.gone_sets.keys() == {"backends"}


def test_masquerading_differs_by_a_chain_not_by_backends(tables: Any) -> None:
    made = plan(tables, tables.table(web(tables, 1, 2)), tables.table(web(tables, 1, 2, masquerade=True)))
    assert element_changes(made) == (1, 1)
    assert made.new_chains.keys() == {"masquerade-pick-2"}
    assert not made.gone_chains


def test_a_local_backend_of_two_services_has_one_hairpin_entry_until_both_are_gone(tables: Any) -> None:
    one, two = web(tables, 1, local=(1,)), web(tables, 1, vip=2, local=(1,))
    assert len(plan(tables, tables.table(one, two)).added["hairpin"]) == 1
    assert "hairpin" not in plan(tables, tables.table(one, two), tables.table(one)).removed
    assert len(plan(tables, tables.table(one, two), tables.table()).removed["hairpin"]) == 1


def test_clients_that_fare_alike_need_no_dispatch(tables: Any) -> None:
    pool = tables.pool(1, 2)
    made = plan(tables, tables.table(tables.frontend(tables.vip(1), 80, Forward(pool, False))))
    assert not any(name.startswith("pod-") for name in made.new_chains)


def test_where_pods_are_not_told_their_verdict_counts_for_nobody(tables: Any) -> None:
    frontend = tables.frontend(tables.vip(1), 80, Forward(tables.pool(1), False), Drop())
    made = plan(tables, tables.table(frontend, detect_local=DetectLocal()))
    assert "services" not in made.added
    assert len(made.added["refused-services"]) == 1


def test_refusals_are_asked_for_apart_only_where_they_differ(tables: Any) -> None:
    pool = Forward(tables.pool(1), False)
    alike = tables.table(tables.frontend(tables.vip(1), 80, pool, pool, Drop()))
    apart = tables.table(tables.frontend(tables.vip(1), 80, Reject(), pool, Drop()))
    assert not any("accepted" in name for name in plan(tables, alike).new_chains)
    assert "pod-reject-connection.node-accepted.else-drop" in plan(tables, apart).new_chains


def test_node_addresses_from_any_to_some_rewrite_the_two_rules_that_ask(tables: Any) -> None:
    everywhere = tables.table()
    listed = dataclasses.replace(everywhere, node_addresses=frozenset({tables.vip(9)}))
    made = plan(tables, everywhere, listed)
    assert made.changed_chains.keys() == {"translate", "refuse-node-ports"}
    assert element_changes(made) == (0, 1)
    made = plan(tables, everywhere, listed, dataclasses.replace(listed, node_addresses=frozenset({tables.vip(8)})))
    assert not made.changed_chains
    assert element_changes(made) == (1, 1)


def test_other_service_networks_rewrite_one_chain(tables: Any) -> None:
    before = tables.table(service_cidrs=frozenset({"10.96.0.0/12", "fd00:96::/108"}))
    after = dataclasses.replace(before, service_cidrs=frozenset({"10.97.0.0/16", "fd00:97::/108"}))
    made = plan(tables, before, after)
    assert made.changed_chains.keys() == {"check-cluster-ips"}
    assert element_changes(made) == (0, 0)


def test_a_service_with_affinity_costs_one_element(tables: Any) -> None:
    pool = tables.pool(1, 2, affinity=Affinity("default/web:http/TCP", 60))
    made = plan(tables, tables.table(), tables.table(tables.frontend(tables.vip(1), 80, Forward(pool, False))))
    assert element_changes(made) == (0, 1)
    assert made.new_chains.keys() == {
        "affine-default/web/http/TCP",
        f"propose-default/web/http/TCP-{tables.pod(1).replace(':', '.')}/8080",
        f"propose-default/web/http/TCP-{tables.pod(2).replace(':', '.')}/8080",
        "remembered-default/web/http/TCP-8080",
    }


def test_overlapping_source_ranges_are_merged(tables: Any) -> None:
    networks = ("10.0.0.0/8", "10.1.0.0/16", "fd00::/8", "fd00:1::/32")
    frontend = tables.frontend(tables.vip(1), 80, Forward(tables.pool(1), False), sources=networks)
    assert len(plan(tables, tables.table(frontend)).added["allowed-sources"]) == 1


@pytest.mark.kernel
def test_where_shows_the_elements_and_every_chain_on_the_way(tables: Any, programmed: Callable[..., Any]) -> None:
    table = tables.everything()
    frontend = next(f for f in table.frontends.values() if f.key.port == 30081)
    text = programmed(lambda d: d.where(frontend.key), table)
    for expected in (
        "tcp . 30081 : goto pod-node-port-pick-3.node-masquerade-node-port-pick-3.else-second-node-port-pick-1",
        f"tcp . 30081 . 2 : {tables.pod(3)} . 8080",
        "chain masquerade-node-port-pick-3 {\n\tmeta mark set meta mark | 0x00004000\n\tgoto node-port-pick-3\n}",
        "chain second-node-port-pick-1 {",
    ):
        assert expected in text


@pytest.mark.kernel
def test_where_knows_no_frontend_that_is_not_there(ipv4: Any, programmed: Callable[..., Any]) -> None:
    table = ipv4.everything()
    key = next(iter(table.frontends))._replace(port=1)
    with pytest.raises(KeyError):
        programmed(lambda d: d.where(key), table)
