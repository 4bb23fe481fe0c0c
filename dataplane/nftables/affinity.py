"""Session affinity: chains propose, the map decides.

    map affinity-default/web-8080 { type ipv4_addr : ipv4_addr; size 65535; flags dynamic,timeout; timeout 3h }
    chain affine-default/web { numgen random mod 2 vmap { 0 : goto propose-...-b1, 1 : goto propose-...-b2 } }
    chain propose-...-b1 {
        update @affinity-default/web-8080 { ip saddr : b1 }                     # whoever is known keeps what he has,
        meta l4proto tcp dnat to ip saddr map @affinity-default/web-8080:8080   # so this need not be b1
        meta l4proto tcp dnat to b1:8080                                        # the map is full: still serve
    }

Two first connections of one client at once agree, because `update` never changes an element that exists.

All pools of one service port share what they remember, but an entry counts only in pools that hold its backend.
So where the pools differ (say, all backends and the local ones), each *class* of backends, those held by just the
same pools, has a map of its own, and a pool first asks the maps of its classes:

    chain affine-... { ip saddr @affinity-... goto propose-(any of that class) ; ... ; numgen random ... }

Backends with different ports are of different classes too: a map holds addresses only, because nft 1.0.6 can list
but not read back an `update` with an IPv6 address and a port.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dataplane.nftables import fields, names, statements
from dataplane.nftables.kernel import SetFlag
from dataplane.nftables.layer3 import Layer3
from dataplane.nftables.objects import Chain, Holds, Set
from dataplane.nftables.statements import Rule, goto, rule
from dataplane.table import Endpoint, Pool, Protocol

#: Clients remembered for one service port and class; the kernel's own limit for maps that packets write.
_MAXIMUM_CLIENTS = 65535


class _Class(NamedTuple):
    """What backends must have in common to share a map."""

    pools: frozenset[int]  #: by their index
    port: int

    @property
    def order(self) -> tuple[int, list[int], int]:
        """Those held by most pools come first."""
        return (-len(self.pools), sorted(self.pools), self.port)


@dataclass(frozen=True, slots=True)
class Memory:
    """All objects for the affinity of one service port and family."""

    pools: tuple[Pool, ...]
    entries: tuple[str, ...]  #: for each pool, the chain that serves it
    chains: tuple[Chain, ...]
    maps: tuple[Set, ...]
    places: Mapping[Endpoint, str]  #: the map in which each backend may be remembered

    def entry(self, pool: Pool) -> str:
        for known, chain in zip(self.pools, self.entries, strict=True):
            if known is pool or known == pool:
                return chain
        raise KeyError(pool)


NO_MEMORY = Memory((), (), (), (), {})


def memory(layer: Layer3, name: str, protocol: Protocol, pools: Collection[Pool]) -> Memory:
    """The objects that the pools of this name need: each of them has affinity, and no two are equal."""
    if not pools:
        return NO_MEMORY
    # The order gives the names their numbers; with the largest pool first they change the least.
    ordered = tuple(sorted(pools, key=lambda p: (-len(p.backends), p.backends)))
    label = names.label(name if name.endswith(protocol) else f"{name}/{protocol}")
    classes = _classes(ordered)
    timeout = max(pool.affinity.seconds for pool in ordered if pool.affinity)
    maps = {
        c: _map(layer, label, c, c.pools == frozenset(range(len(ordered))), timeout)
        for c in sorted(set(classes.values()), key=lambda c: c.order)
    }
    places = {endpoint: maps[c].name for endpoint, c in classes.items()}
    proposals = {e: _proposal(layer, label, protocol, e, places[e]) for e in sorted(places)}
    entries = tuple(
        _entry(layer, label, index, pool, [m.name for c, m in maps.items() if index in c.pools], places, proposals)
        for index, pool in enumerate(ordered)
    )
    chains = (*entries, *proposals.values())
    return Memory(ordered, tuple(c.name for c in entries), chains, tuple(maps.values()), places)


def _classes(pools: tuple[Pool, ...]) -> dict[Endpoint, _Class]:
    held_by: dict[Endpoint, set[int]] = {}
    for index, pool in enumerate(pools):
        for backend in pool.backends:
            held_by.setdefault(backend.endpoint, set()).add(index)
    return {endpoint: _Class(frozenset(held), endpoint.port) for endpoint, held in held_by.items()}


def _map(layer: Layer3, label: str, of: _Class, in_all_pools: bool, timeout: int) -> Set:
    only = "" if in_all_pools else ".only-" + "-".join(str(i + 1) for i in sorted(of.pools))
    return Set(
        names.bounded(f"affinity-{label}-{of.port}{only}"),
        (fields.source(layer),),
        Holds.ADDRESS,
        SetFlag.EVAL | SetFlag.TIMEOUT,
        _MAXIMUM_CLIENTS,
        timeout,
    )


def _proposal(layer: Layer3, label: str, protocol: Protocol, endpoint: Endpoint, map_name: str) -> Chain:
    source = (fields.source(layer),)
    is_protocol = statements.is_protocol(protocol)
    rules = (
        rule(statements.remember(layer, map_name, endpoint.address)),
        rule(is_protocol, statements.dnat_to_remembered(layer, source, map_name, endpoint.port)),
        rule(is_protocol, statements.dnat_to(layer, endpoint)),
    )
    place = f"{endpoint.address.replace(':', '.')}/{endpoint.port}"
    return Chain(names.bounded(f"propose-{label}-{place}"), rules)


def _entry(
    layer: Layer3,
    label: str,
    index: int,
    pool: Pool,
    maps: list[str],
    places: Mapping[Endpoint, str],
    proposals: Mapping[Endpoint, Chain],
) -> Chain:
    name = names.bounded(f"affine-{label}{f'.{index + 1}' if index else ''}")
    endpoints = [backend.endpoint for backend in pool.backends]
    rules: list[Rule] = []
    if len(maps) > 1:
        # Any proposal of the class will do: the map has its own answer for whoever comes this way.
        for map_name in maps:
            anyone = next(e for e in endpoints if places[e] == map_name)
            known = statements.in_set((fields.source(layer),), map_name)
            rules.append(rule(known, goto(proposals[anyone].name)))
    if len(endpoints) == 1:
        rules.append(rule(goto(proposals[endpoints[0]].name)))
    else:
        # Named after the chain: a drawn name ("__map%d") would make the kernel look at all that there are.
        rules.append(statements.choose(names.bounded(f"__{name}"), tuple(proposals[e].name for e in endpoints)))
    return Chain(name, tuple(rules))
