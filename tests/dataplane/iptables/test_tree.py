"""A tree asks a packet few questions, keeps every rule, and a change costs one branch of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import HOST_ADDRESSES
from dataplane.changes import Changes
from dataplane.errors import InputError
from dataplane.interface import Drift
from dataplane.iptables import IptablesDataplane, skeleton
from dataplane.iptables.chain import Chain, Layout, Options, Rules
from dataplane.iptables.ruleset import Ruleset
from dataplane.iptables.tree import LONGEST, grown, is_branch
from dataplane.table import Backend, Family, Forward, ForwardingTable, Frontend, FrontendKey, Pool, Protocol
from flows import packet
from iptables_tracer import Tracer

TREE = Options(layout=Layout.TREE)


def many(services: int) -> ForwardingTable:
    """Services all over 10.96.0.0/12, and a node port for each tenth."""
    keys = [FrontendKey(f"10.{96 + n % 16}.{n * 7 % 256}.{n * 31 % 251}", Protocol.TCP, 80) for n in range(services)]
    keys += [FrontendKey("0.0.0.0", Protocol.UDP, 30000 + n) for n in range(services // 10)]
    forward = Forward(Pool((Backend("10.244.1.21", 80, local=True),)), masquerade=False)
    frontends = {key: Frontend(key, f"default/web-{key}", forward, forward, forward) for key in keys}
    return ForwardingTable(frontends, node_addresses=frozenset({"0.0.0.0"}))


def _ways(chains: Mapping[Chain, Rules], chain: Chain, above: Rules = ()) -> Iterator[Rules]:
    """For each rule of a tree that leads out of it: the rules in front of it, with those of the chains above."""
    for number, rule in enumerate(chains[chain]):
        before = (*above, *chains[chain][: number + 1])
        target = Chain(chain.table, rule.rpartition("-j ")[2])
        if is_branch(target):
            yield from _ways(chains, target, before)
        else:
            yield before


@given(st.sets(st.integers(0, 2**20 - 1), max_size=200), st.integers(1, 3))
def test_every_rule_is_kept_once(hosts: set[int], ports: int) -> None:
    rules = tuple(
        f"-d 10.{96 + (host >> 16)}.{host >> 8 & 255}.{host & 255}/32 -p tcp -m tcp --dport {port} -j DROP"
        for host in hosts
        for port in range(ports)
    )
    chains = grown(skeleton.SERVICES, (*rules, "-j KUBE-NODEPORTS"))
    ways = list(_ways(chains, skeleton.SERVICES))
    assert sorted(way[-1] for way in ways) == sorted((*rules, "-j KUBE-NODEPORTS"))
    assert chains[skeleton.SERVICES][-1] == "-j KUBE-NODEPORTS"
    assert all(len(chain.name) <= 28 for chain in chains)


@given(st.sets(st.integers(0, 2**16 - 1), min_size=17, max_size=99))
def test_names_of_ipv6_branches_are_no_longer_than_iptables_takes(hosts: set[int]) -> None:
    rules = tuple(f"-d fd00:10:96::{host:x}/128 -p tcp -m tcp --dport 80 -j DROP" for host in hosts)
    chains = grown(skeleton.REFUSED_EXTERNAL, rules)
    assert len(chains) > 1
    assert all(len(chain.name) <= 28 for chain in chains)


def test_among_ten_thousand_services_a_packet_meets_some_dozens_of_rules() -> None:
    ruleset = Ruleset.of(many(10_000), Family.IPV4, TREE)
    longest = max(len(way) for root in skeleton.SHARED for way in _ways(ruleset.chains, root))
    assert longest < 100
    assert len(Ruleset.of(many(10_000), Family.IPV4, Options()).chains[skeleton.SERVICES]) > 9_000


def test_few_services_look_as_kube_proxy_leaves_them() -> None:
    table = many(LONGEST)
    assert Ruleset.of(table, Family.IPV4, TREE).chains == Ruleset.of(table, Family.IPV4, Options()).chains


def test_another_service_costs_one_branch() -> None:
    before, after = many(1000), many(1001)
    ruleset = Ruleset.of(before, Family.IPV4, TREE)
    difference = ruleset.update(Changes.between(before, after), after)
    assert sum(is_branch(chain) or chain in skeleton.SHARED for chain in difference.changed) <= 2


@pytest.mark.parametrize("address", ["10.96.0.0", "192.0.2.1"])
def test_a_packet_finds_its_way_through_the_branches(address: str, written: Callable[..., str]) -> None:
    port, protocol = (80, Protocol.TCP) if address.startswith("10.") else (30077, Protocol.UDP)
    tracer = Tracer(written(many(2000), Family.IPV4, TREE), HOST_ADDRESSES)
    (way,) = tracer.ways(packet("x1", address, port, protocol))
    assert way.destination.address == "10.244.1.21"
    assert len(way.trace) < 20


def test_a_layout_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match="--iptables-layout: 'ipset' is none of kube-proxy, tree"):
        Layout.named("ipset")


@pytest.mark.kernel
def test_the_kernel_takes_a_tree_follows_it_and_gives_way_to_the_other_layout(
    variant: str, in_new_namespace: Callable[[Callable[[], Any]], Any]
) -> None:
    def work() -> None:
        for layout in (Layout.TREE, Layout.KUBE_PROXY, Layout.TREE):
            dataplane = IptablesDataplane(variant, layout=layout)
            for services in (300, 200, 400):
                dataplane.apply(many(services))
                assert dataplane.audit() == Drift()
            assert "KUBE-SVC-" in dataplane.where(FrontendKey("10.96.0.0", Protocol.TCP, 80))
            dataplane.close()
        dataplane = IptablesDataplane(variant)
        dataplane.cleanup()
        assert dataplane.audit() == Drift()

    in_new_namespace(work)
