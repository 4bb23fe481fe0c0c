"""Whatever happened before, the kernel holds what one cold apply of the last table would have written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.changes import Changes
from dataplane.netlink.channel import Channel
from dataplane.nft import dump
from dataplane.nft.layer3 import IPV4, IPV6
from dataplane.nftables import NftablesDataplane, skeleton
from dataplane.nftables.ruleset import Ruleset
from dataplane.table import ForwardingTable
from strategies import tables as any_table


def kernel_state(_: NftablesDataplane) -> object:
    """Everything in our tables, as comparable values, but for what depends on the past.

    That is the sizes of sets, and which frontends were removed.
    """
    with Channel() as channel:
        return {
            layer: (
                dump.chains(channel, layer),
                dump.rules(channel, layer),
                {
                    name: (spec, {(e.key, e.tail) for e in dump.set_elements(channel, layer, name)})
                    for name, spec in dump.sets(channel, layer).items()
                    if name != skeleton.REMOVED
                },
            )
            for layer in (IPV4, IPV6)
        }


@pytest.mark.kernel
@given(st.lists(any_table(), min_size=2, max_size=5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_sequence_of_tables_ends_like_one_cold_apply_of_the_last(
    programmed: Callable[..., Any], given_tables: list[ForwardingTable]
) -> None:
    assert programmed(kernel_state, *given_tables) == programmed(kernel_state, given_tables[-1])


@pytest.mark.kernel
@given(st.lists(any_table(), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_every_apply_the_audit_finds_nothing_and_the_same_again_does_nothing(
    in_new_namespace: Callable[..., Any], given_tables: list[ForwardingTable]
) -> None:
    def work() -> None:
        dataplane = NftablesDataplane()
        try:
            for table in given_tables:
                dataplane.apply(table)
                assert not dataplane.audit()
                assert not dataplane.tampered()
                assert dataplane.apply(table).operations == 0
        finally:
            dataplane.close()

    in_new_namespace(work)


@given(any_table(), any_table())
@settings(max_examples=200, deadline=None)
def test_a_change_there_and_back_removes_what_it_added(one: ForwardingTable, other: ForwardingTable) -> None:
    if one.detect_local != other.detect_local:
        return  # then everything is written anew
    for layer in (IPV4, IPV6):
        ruleset = Ruleset(layer, one.detect_local, 0x4000)
        ruleset.update(Changes.between(ForwardingTable(), one), one)
        there = ruleset.update(Changes.between(one, other), other)
        back = ruleset.update(Changes.between(other, one), one)
        assert _sorted(there.added) == _sorted(back.removed)
        assert _sorted(there.removed) == _sorted(back.added)
        assert there.new_chains == back.gone_chains
        assert there.gone_chains == back.new_chains
        assert there.changed_chains.keys() == back.changed_chains.keys()
        assert there.new_sets == back.gone_sets
        assert there.gone_sets == back.new_sets


def _sorted(by_set: dict[str, list[tuple[bytes, bytes]]]) -> dict[str, list[tuple[bytes, bytes]]]:
    return {name: sorted(members) for name, members in by_set.items()}
