"""What one frontend needs in the ruleset: elements, chains of its shape, and hairpin entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from dataplane.nft import elements, fields, guard, texts
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import Chain
from dataplane.nftables import shapes, skeleton
from dataplane.nftables.shapes import Way
from dataplane.table import DetectLocal, Drop, Forward, Frontend, FrontendKey, Pool, Protocol, Reject, Verdict

Entry: TypeAlias = Callable[[Pool, Protocol], str]
"""The chain that serves a pool with affinity."""


class Parts(NamedTuple):
    """Elements are (set, key, tail), no two with the same set and key. Hairpin keys may be shared by frontends."""

    elements: list[tuple[str, bytes, bytes]]
    hairpins: list[bytes]
    chains: tuple[Chain, ...]


def removed(keys: Iterable[FrontendKey]) -> list[elements.Element]:
    """Elements that tell of these frontends; a NodePort's has the unspecified address."""
    return [
        (fields.address(a) + fields.protocol(p.number) + fields.port(port), elements.NO_TAIL) for a, p, port in keys
    ]


def key_of(layer: Layer3, head: bytes, node_port: bool) -> FrontendKey:
    """Whose element begins like this: the opposite of what `Translator.parts` and `removed` write."""
    address, end = layer.family.any_address, head
    if not node_port:
        address, end = texts.address(head[:-8]), head[-8:]
    return FrontendKey(address, _PROTOCOLS[end[0]], int.from_bytes(end[4:6], "big"))


_PROTOCOLS = {protocol.number: protocol for protocol in Protocol}


class Route(NamedTuple):
    """What is alike for all frontends of one shape: the chains, and the ends of their two map elements."""

    chains: tuple[Chain, ...]
    translated: bytes | None  #: tail in `services`; None if nobody is forwarded
    refused: bytes | None  #: tail in `refused-services`; None if nobody is refused


_Leaf: TypeAlias = tuple[int | str, int, bool] | Reject | Drop
"""A verdict without its addresses: (slot or affinity chain, backends, masquerade)."""

_Leaves: TypeAlias = tuple[_Leaf, _Leaf, _Leaf]
"""For POD, NODE and OUTSIDE."""

#: Shapes that are remembered, the latest: more than a cluster has at a time, and at most some 2 MB.
REMEMBERED = 512


class Translator:
    """From frontends to parts, for one family and one detect-local rule.

    Shapes that frontends share are remembered. Where a chain of session affinity is in it, the shape is one service
    port's own: nobody else would ask for it, and it would stay when the Service is gone.
    """

    def __init__(self, layer: Layer3, detect: DetectLocal, mark: int) -> None:
        self._layer, self._detect, self._mark = layer, detect, mark
        self._pods_are_told = detect.applies_to(layer.family)
        self._routes: dict[tuple[bool, _Leaves], Route] = {}

    def parts(self, frontend: Frontend, entry: Entry) -> Parts:
        key = frontend.key
        node_port = key.is_node_port
        pools, leaves = _leaves(frontend, self._pods_are_told, entry)
        route = self._routes.get((node_port, leaves)) or self._new_route(node_port, leaves)
        head = guard.element_key(key)
        found: list[tuple[str, bytes, bytes]] = []
        if route.translated is not None:
            found.append((skeleton.NODE_PORTS if node_port else skeleton.SERVICES, head, route.translated))
        if route.refused is not None:
            refused = skeleton.REFUSED_NODE_PORTS if node_port else skeleton.REFUSED_SERVICES
            found.append((refused, head, route.refused))
        hairpins: list[bytes] = []
        index, tail = fields.index, elements.endpoint_tail
        for slot, pool in enumerate(pools):
            if pool.affinity is None:
                name = _BACKENDS[node_port][slot]
                found += [(name, head + index(i), tail(b[0], b[1])) for i, b in enumerate(pool.drawn)]
            hairpins.extend(guard.hairpins(frontend, pool))
        found.extend(guard.limits(frontend, head))
        return Parts(found, hairpins, route.chains)

    def _new_route(self, node_port: bool, leaves: _Leaves) -> Route:
        route = self._route(node_port, leaves)
        if not any(isinstance(leaf, tuple) and isinstance(leaf[0], str) for leaf in leaves):
            if len(self._routes) == REMEMBERED:
                del self._routes[next(iter(self._routes))]
            self._routes[node_port, leaves] = route
        return route

    def _route(self, node_port: bool, leaves: _Leaves) -> Route:
        chains: dict[str, Chain] = {}
        translated = [self._way(node_port, leaf, chains) for leaf in leaves]
        refused = [_refusal(leaf) for leaf in leaves]
        refusals = {way.name: way for way in refused if way is not shapes.ACCEPTED}
        if len(refusals) == 1:
            # The filter sees only what was not translated; if all such packets fare alike, it need not ask.
            refused = list(refusals.values()) * 3
        translated_end = self._end(translated, shapes.REFUSED, chains)
        refused_end = self._end(refused, shapes.ACCEPTED, chains)
        return Route(tuple(chains.values()), translated_end, refused_end)

    def _way(self, node_port: bool, leaf: _Leaf, chains: dict[str, Chain]) -> Way:
        if isinstance(leaf, Reject | Drop):
            return shapes.REFUSED
        pool, count, masquerade = leaf
        if isinstance(pool, str):
            name = pool
        else:
            chain = shapes.pick(self._layer, pool, node_port, count)
            name = chain.name
            chains[name] = chain
        if masquerade:
            chain = shapes.masquerade(name, self._mark)
            name = chain.name
            chains[name] = chain
        return Way.to(name)

    def _end(self, ways: list[Way], nothing: Way, chains: dict[str, Chain]) -> bytes | None:
        """The tail of the frontend's element, or None if it needs none because every client goes this `nothing`."""
        end = shapes.dispatch(self._layer, self._detect, *ways)
        if isinstance(end, Chain):
            chains[end.name] = end
            return elements.goto_tail(end.name)
        if end == nothing:
            return None
        return elements.DROP_TAIL if end is shapes.DROP else elements.goto_tail(end.name)


_BACKENDS = {
    node_port: tuple(shapes.backends_name(slot, node_port) for slot in range(3)) for node_port in (False, True)
}


def _leaves(frontend: Frontend, pods_are_told: bool, entry: Entry) -> tuple[list[Pool], _Leaves]:
    """The distinct pools in the order of their first use, and the three verdicts as shapes."""
    pools: list[Pool] = []

    def slot_of(pool: Pool) -> int:
        for slot, known in enumerate(pools):
            if known is pool or known == pool:
                return slot
        pools.append(pool)
        return len(pools) - 1

    def leaf(verdict: Verdict) -> _Leaf:
        if not isinstance(verdict, Forward):
            return verdict
        pool = verdict.pool
        slot = slot_of(pool)
        where = slot if pool.affinity is None else entry(pool, frontend.key.protocol)
        return (where, len(pool.drawn), verdict.masquerade)

    pod, node, outside = verdicts(frontend, pods_are_told)
    return pools, (leaf(pod), leaf(node), leaf(outside))


def verdicts(frontend: Frontend, pods_are_told: bool) -> tuple[Verdict, Verdict, Verdict]:
    """For POD, NODE and OUTSIDE. Where nobody is known for a pod, the verdict for pods counts for nobody."""
    return (frontend.pod if pods_are_told else frontend.outside, frontend.node, frontend.outside)


def _refusal(leaf: _Leaf) -> Way:
    if isinstance(leaf, Reject):
        return shapes.REJECT
    return shapes.DROP if isinstance(leaf, Drop) else shapes.ACCEPTED
