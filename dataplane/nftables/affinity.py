"""Session affinity: chains propose, the map decides.

    map affinity-default/web-8080 { type ipv4_addr : ipv4_addr; size 65535; flags dynamic,timeout; timeout 3h }
    chain affine-default/web {                            # one of two, by chance
        numgen random mod 2 0 goto propose-default/web-b1
        goto propose-default/web-b2
    }
    chain propose-default/web-b1 {
        update @affinity-default/web-8080 { ip saddr : b1 }       # whoever is known keeps what he has,
        jump remembered-default/web-8080                          # so this need not lead to b1
        meta l4proto tcp dnat to b1:8080                          # the map is full: still serve
    }
    chain remembered-default/web-8080 { meta l4proto tcp dnat to ip saddr map @affinity-default/web-8080:8080 }

Two first connections of one client at once agree, because `update` never changes an element that exists.

All pools of one service port share what they remember, but an entry counts only in pools that hold its backend.
So where the pools differ (say, all backends and the local ones), each *class* of backends, those held by just the
same pools, has a map of its own, and a pool first asks the maps of its classes:

    chain affine-... { ip saddr @known-... goto propose-(any of that class) ; ... ; numgen ... }
    chain propose-... { update @affinity-... { ip saddr : b1 } update @known-... { ip saddr } ; ... }

The set of known clients beside each such map has the map's keys. Asking the map itself whether it has a key would do,
but Linux before 6.5 refuses a rule that looks into a map and does nothing with what it finds, and nft knows no
harmless thing to do with it.

Backends with different ports are of different classes too: a map holds addresses only, because nft 1.0.6 can list
but not read back an `update` with an IPv6 address and a port. And the choice is made by rules, not by a map in one
rule, because the kernel finds sets by walking through all that a table has: with as many again, and a lookup of the
map in every proposal, 3,000 service ports took 3.4 s instead of 1.3 s.

What that walk costs is what limits this shape: a service port with four backends names its map six times, so 10,000
of them walk past 300 million names, some 20 s of the kernel's time. Sharing 64 maps among them, which takes 2 s,
would need keys that say whose memory it is (`numgen inc mod 1 offset ID . ip saddr`, which nft 1.0.6 can read back).
It was not done, because a map of one's own is what keeps the rest simple: a Service that many clients come to fills
only its own map; what a backend leaves behind is found by reading one map, and not the clients of 150 others; and the
map's name is all that an agent needs to know whose memory it has found. Thousands of Services with affinity are rare;
who has them waits longer at the first sync, and 100 ms at a change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dataplane.nft import fields, names, statements
from dataplane.nft.kernel import SetFlag
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import Chain, Holds, Set
from dataplane.nft.statements import Rule, goto, jump, rule
from dataplane.table import Endpoint, Pool, Protocol


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
    known: tuple[Set, ...]  #: the keys of each map; none if there is only one map
    places: Mapping[Endpoint, str]  #: the map in which each backend may be remembered
    ports: Mapping[str, int]  #: of all backends in a map

    @property
    def timeout(self) -> int:
        """Seconds, of all maps."""
        return max((m.timeout for m in self.maps), default=0)

    @property
    def sets(self) -> tuple[Set, ...]:
        return self.maps + self.known

    def entry(self, pool: Pool) -> str:
        for known, chain in zip(self.pools, self.entries, strict=True):
            if known is pool or known == pool:
                return chain
        raise KeyError(pool)


NO_MEMORY = Memory((), (), (), (), (), {}, {})


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
    known = tuple(_known(m) for m in maps.values()) if len(maps) > 1 else ()
    places = {endpoint: maps[c].name for endpoint, c in classes.items()}
    remembered = {m.name: _remembered(layer, protocol, c, m) for c, m in maps.items()}
    proposals = {
        e: _proposal(layer, label, protocol, e, places[e], bool(known), remembered[places[e]]) for e in sorted(places)
    }
    entries = tuple(
        _entry(layer, label, index, pool, [m.name for c, m in maps.items() if index in c.pools], places, proposals)
        for index, pool in enumerate(ordered)
    )
    chains = (*entries, *proposals.values(), *remembered.values())
    ports = {m.name: c.port for c, m in maps.items()}
    return Memory(ordered, tuple(c.name for c in entries), chains, tuple(maps.values()), known, places, ports)


def _classes(pools: tuple[Pool, ...]) -> dict[Endpoint, _Class]:
    held_by: dict[Endpoint, set[int]] = {}
    for index, pool in enumerate(pools):
        for backend in pool.backends:
            held_by.setdefault(backend.endpoint, set()).add(index)
    return {endpoint: _Class(frozenset(held), endpoint.port) for endpoint, held in held_by.items()}


def _map(layer: Layer3, label: str, of: _Class, in_all_pools: bool, timeout: int) -> Set:
    only = "" if in_all_pools else ".only-" + "-".join(str(i + 1) for i in sorted(of.pools))
    return Set(
        names.bounded(f"affinity-{label}-{of.port}{only}", 250),
        (fields.source(layer),),
        Holds.ADDRESS,
        SetFlag.EVAL | SetFlag.TIMEOUT,
        timeout=timeout,
    )


def known_clients(map_name: str) -> str:
    """The name of the set that has the keys of this map."""
    return map_name.replace("affinity-", "known-", 1)


def _known(memory_map: Set) -> Set:
    return Set(known_clients(memory_map.name), memory_map.key, flags=memory_map.flags, timeout=memory_map.timeout)


def _remembered(layer: Layer3, protocol: Protocol, of: _Class, memory_map: Set) -> Chain:
    to_known = statements.dnat_to_remembered(layer, memory_map.key, memory_map.name, of.port)
    return Chain(
        memory_map.name.replace("affinity-", "remembered-", 1), (rule(statements.is_protocol(protocol), to_known),)
    )


def _proposal(
    layer: Layer3,
    label: str,
    protocol: Protocol,
    endpoint: Endpoint,
    map_name: str,
    is_one_of_several: bool,
    remembered: Chain,
) -> Chain:
    remember = [statements.remember(layer, map_name, endpoint.address)]
    if is_one_of_several:
        # In the same rule: whom a full map cannot take does not become known either.
        remember.append(statements.note((fields.source(layer),), known_clients(map_name)))
    rules = (
        rule(*remember),
        rule(jump(remembered.name)),
        rule(statements.is_protocol(protocol), statements.dnat_to(layer, endpoint)),
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
    endpoints = [backend.endpoint for backend in pool.drawn]
    rules: list[Rule] = []
    if len(maps) > 1:
        # Any proposal of the class will do: the map has its own answer for whoever comes this way.
        for map_name in maps:
            anyone = next(e for e in endpoints if places[e] == map_name)
            known = statements.in_set((fields.source(layer),), known_clients(map_name))
            rules.append(rule(known, goto(proposals[anyone].name)))
    for left, endpoint in zip(range(len(endpoints), 1, -1), endpoints, strict=False):
        rules.append(rule(statements.one_in(left), goto(proposals[endpoint].name)))
    rules.append(rule(goto(proposals[endpoints[-1]].name)))
    return Chain(name, tuple(rules))
