"""What Services that came and went leave behind in this process: nothing, or no more than a bound."""

from __future__ import annotations

import gc
import sys
from typing import Any

from dataplane.changes import Changes
from dataplane.nft.layer3 import LAYERS
from dataplane.nft.objects import Chain
from dataplane.nft.statements import Rule
from dataplane.nftables import frontends
from dataplane.nftables.frontends import Route
from dataplane.nftables.ruleset import Ruleset
from dataplane.table import Affinity, Forward, ForwardingTable

MARK = 0x4000


class Kept:
    """A ruleset, and how many objects it keeps."""

    def __init__(self, family: Any) -> None:
        self._table = ForwardingTable()
        self.ruleset = Ruleset(LAYERS[family], self._table.detect_local, MARK)

    def follow(self, table: ForwardingTable) -> None:
        self.ruleset.update(Changes.between(self._table, table), table)
        self._table = table

    @staticmethod
    def objects(*kinds: type) -> int:
        gc.collect()
        return sum(type(one) in kinds for one in gc.get_objects())


def with_affinity(tables: Any, number: int) -> ForwardingTable:
    """One Service that no other table has, with one to five backends and a node that must be masqueraded."""
    pool = tables.pool(*range(1, 2 + number % 5), affinity=Affinity(f"default/web-{number}:http/TCP", 60))
    forward, masqueraded = Forward(pool, False), Forward(pool, True)
    return tables.table(tables.frontend(tables.vip(1), 80, forward, masqueraded, masqueraded))


def with_so_many(tables: Any, backends: int) -> ForwardingTable:
    return tables.table(tables.frontend(tables.vip(1), 80, Forward(tables.pool(*range(1, backends + 1)), False)))


def test_services_with_affinity_leave_no_object_behind(tables: Any) -> None:
    kept = Kept(tables.family)
    kept.follow(with_affinity(tables, 0))
    before = kept.objects(Chain, Rule, Route)
    assert before > 0
    for number in range(1, 101):
        kept.follow(with_affinity(tables, number))
    assert kept.objects(Chain, Rule, Route) == before


def test_shapes_of_long_ago_are_forgotten(tables: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(frontends, "REMEMBERED", 10)
    kept = Kept(tables.family)
    for backends in range(1, 11):
        kept.follow(with_so_many(tables, backends))
    before = kept.objects(Chain, Rule, Route)
    for backends in range(11, 41):
        kept.follow(with_so_many(tables, backends))
    assert kept.objects(Chain, Rule, Route) == before


def test_addresses_that_were_seen_are_not_kept(tables: Any) -> None:
    """Pods come under ever new addresses: what was packed for one is of no use after it is gone."""
    kept = Kept(tables.family)

    def follow(number: int) -> None:
        pool = tables.pool(2 * number + 1, 2 * number + 2, local=(2 * number + 1,))
        kept.follow(tables.table(tables.frontend(tables.vip(1), 80, Forward(pool, False))))

    def cached() -> int:
        # Not by the garbage collector: it does not tell of what an agent in another test has frozen.
        modules = [module for name, module in sys.modules.items() if name.startswith("dataplane.")]
        caches = {id(one): one for m in modules for one in vars(m).values() if hasattr(one, "cache_info")}
        assert caches
        return sum(one.cache_info().currsize for one in caches.values())

    follow(0)
    follow(1)
    before = cached()
    for number in range(2, 60):
        follow(number)
    assert cached() == before
