"""A ruleset that follows changes is the same as one made from nothing, and only what must be is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from cluster import VIP, compiled, joined, piece, port, service
from dataplane.changes import Changes
from dataplane.iptables import ruleset as ruleset_module
from dataplane.iptables import tree
from dataplane.iptables.chain import Chain, Layout, Options, Rules
from dataplane.iptables.restore import Restore
from dataplane.iptables.ruleset import Difference, Ruleset
from dataplane.iptables.skeleton import FIXED, HEALTH_CHECKS, REFUSED, SERVICES
from dataplane.table import (
    Backend,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    HealthCheckPort,
    Pool,
    Protocol,
)

WEB = service("web", port(80, "http", node_port=30080), vips=[VIP])
OTHER = service("other", port(80), cluster_ip="10.96.0.11")


def _web(*pods: str) -> ForwardingTable:
    return compiled(WEB, piece("web", *pods, ports=(("http", 8080),)))


def _step(old: ForwardingTable, new: ForwardingTable) -> Difference:
    ruleset = Ruleset.of(old, Family.IPV4, Options())
    return ruleset.update(Changes.between(old, new), new)


def _carry_out(chains: Mapping[Chain, Rules], difference: Difference) -> dict[Chain, Rules]:
    after = {**chains, **difference.changed}
    for chain in difference.gone:
        del after[chain]
    return after


@given(
    st.lists(strategies.tables(), min_size=1, max_size=4),
    st.sampled_from(Family),
    st.sampled_from(Layout),
    st.integers(0, 9),
)
def test_following_changes_leads_to_the_same_as_beginning_anew(
    history: list[ForwardingTable], family: Family, layout: Layout, most: int
) -> None:
    options = Options(layout=layout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ruleset_module, "MOST_ENDPOINTS_WITH_COMMENTS", most)
        patch.setattr(tree, "LONGEST", 1)
        ruleset, table, chains = Ruleset(family, options), ForwardingTable(), dict[Chain, Rules]()
        for new in history:
            chains = _carry_out(chains, ruleset.update(Changes.between(table, new), new))
            table = new
            assert chains == ruleset.chains == Ruleset.of(table, family, options).chains


@given(strategies.tables(), st.sampled_from(Family), st.sampled_from(Layout))
def test_every_chain_that_is_jumped_to_exists_and_is_used(
    table: ForwardingTable, family: Family, layout: Layout
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "LONGEST", 1)
        chains = Ruleset.of(table, family, Options(layout=layout)).chains
    used = _used(chains)
    assert used <= chains.keys()
    assert chains.keys() - FIXED <= used
    assert all(chains[chain] for chain in chains.keys() - FIXED)


def test_a_change_of_nothing_writes_nothing() -> None:
    assert not _step(_web("b1"), _web("b1"))


def test_a_new_endpoint_costs_its_chain_and_those_that_pick_it() -> None:
    difference = _step(_web("b1"), _web("b1", "b3"))
    assert sorted(chain.name[:9] for chain in difference.changed) == ["KUBE-SEP-", "KUBE-SVC-"]
    assert not difference.gone


def test_the_chain_of_an_endpoint_that_is_gone_goes() -> None:
    difference = _step(_web("b1", "b3"), _web("b1"))
    assert [chain.name[:9] for chain in difference.changed] == ["KUBE-SVC-"]
    assert [chain.name[:9] for chain in difference.gone] == ["KUBE-SEP-"]


def test_another_service_does_not_cost_those_that_are_there() -> None:
    difference = _step(_web("b1"), joined(_web("b1"), compiled(OTHER, piece("other", "b3"))))
    shared = {chain for chain in difference.changed if chain in FIXED}
    assert shared == {SERVICES}
    assert len(difference.changed) == len(shared) + 2


def test_without_endpoints_only_refusals_are_left() -> None:
    difference = _step(compiled(OTHER, piece("other", "b1")), compiled(OTHER, piece("other")))
    assert difference.changed.keys() == {SERVICES, REFUSED}
    assert difference.changed[REFUSED] == (
        '-d 10.96.0.11/32 -p tcp -m comment --comment "default/other has no endpoints" -m tcp --dport 80 '
        "-j REJECT --reject-with icmp-port-unreachable",
    )


def _large(endpoints: int) -> ForwardingTable:
    backends = [Backend(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", 80, False) for i in range(endpoints)]
    key = FrontendKey("10.96.0.10", Protocol.TCP, 80)
    forward = Forward(Pool(tuple(sorted(backends, key=str))), False)
    return ForwardingTable({key: Frontend(key, "default/web", forward, forward, forward)})


def test_in_a_large_cluster_the_rules_that_pick_have_no_comments() -> None:
    small, large = Ruleset.of(_large(1000), Family.IPV4, Options()), Ruleset.of(_large(1001), Family.IPV4, Options())
    picking = ("KUBE-SVC-", "KUBE-SEP-")
    for ruleset, comments in ((small, True), (large, False)):
        rules = [rule for chain, rs in ruleset.chains.items() if chain.name.startswith(picking) for rule in rs]
        assert {"--comment" in rule for rule in rules} == {comments}


def test_growing_large_and_small_again_leads_back() -> None:
    ruleset, table = Ruleset(Family.IPV4, Options()), ForwardingTable()
    for size in (1000, 1001, 1000):
        new = _large(size)
        ruleset.update(Changes.between(table, new), new)
        table = new
    assert ruleset.chains == Ruleset.of(_large(1000), Family.IPV4, Options()).chains


def test_what_is_written_is_in_the_order_in_which_iptables_needs_it() -> None:
    ours, old = Chain("nat", "KUBE-SVC-A"), Chain("nat", "KUBE-SVC-B")
    assert Restore({ours: ("-j RETURN",)}, gone=[old]).text() == (
        "*nat\n:KUBE-SVC-A - [0:0]\n:KUBE-SVC-B - [0:0]\n-A KUBE-SVC-A -j RETURN\n-X KUBE-SVC-B\nCOMMIT\n"
    )


def test_nothing_to_write_is_no_text() -> None:
    assert Restore().text() == ""
    assert Restore().text(most_chains=1) == ""


def _after_each_transaction(text: str, before: Mapping[Chain, Rules]) -> Iterator[dict[Chain, Rules]]:
    """What is there whenever iptables-restore has carried out a part of this text."""
    there, table = dict(before), ""
    for line in text.splitlines():
        match line.split(" ", 2):
            case ["-A", name, rule]:
                there[Chain(table, name)] += (rule,)
            case ["-X", name]:
                assert there.pop(Chain(table, name)) == (), f"{name} is deleted with rules in it"
            case ["COMMIT"]:
                yield dict(there)
            case [word, *_] if word.startswith("*"):
                table = word[1:]
            case [word, *_]:
                there[Chain(table, word[1:])] = ()


def _used(chains: Mapping[Chain, Rules]) -> set[Chain]:
    return {
        Chain(chain.table, rule.rpartition("-j ")[2].split(" ")[0])
        for chain, rules in chains.items()
        for rule in rules
        if "-j KUBE-" in rule
    }


@given(strategies.tables(), strategies.tables(), st.sampled_from(Family), st.sampled_from(Layout), st.integers(1, 9))
def test_between_the_parts_of_a_long_text_each_chain_is_the_old_one_or_the_new_one(
    old: ForwardingTable, new: ForwardingTable, family: Family, layout: Layout, most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "LONGEST", 1)
        before, after = (Ruleset.of(table, family, Options(layout=layout)).chains for table in (old, new))
    text = Restore(after, before.keys() - after.keys()).text(most)
    there = before
    for there in _after_each_transaction(text, before):
        assert _used(there) <= there.keys()
        assert all(there.get(chain) in (before.get(chain), rules) for chain, rules in after.items())
    assert there == after


@given(strategies.tables(), st.integers(1, 9))
def test_no_part_of_a_long_text_has_more_chains_than_it_may_have(table: ForwardingTable, most: int) -> None:
    chains = Ruleset.of(table, Family.IPV4, Options()).chains
    for text in (Restore(chains).text(most), Restore(gone=chains).text(most)):
        for part in text.split("COMMIT\n"):
            assert len({line.split(" ")[0] for line in part.splitlines() if line.startswith(":")}) <= most
            assert sum(line.startswith("-X ") for line in part.splitlines()) <= most


def test_load_balancers_that_ask_for_health_are_let_in_while_the_service_needs_it() -> None:
    asking = ForwardingTable(health_check_ports=frozenset({HealthCheckPort(Family.IPV4, 32000, "default/web")}))
    rule = '-p tcp -m comment --comment "default/web health check node port" -m tcp --dport 32000 -j ACCEPT'
    assert _step(ForwardingTable(), asking).changed == {HEALTH_CHECKS: (rule,)}
    assert _step(asking, ForwardingTable()).changed == {HEALTH_CHECKS: ()}
    assert Ruleset.of(asking, Family.IPV6, Options()).chains[HEALTH_CHECKS] == ()
