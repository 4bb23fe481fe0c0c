"""What one family's table holds, element by element, and how a change of the ForwardingTable changes it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from dataplane.changes import Changes
from dataplane.ipvs import rules
from dataplane.ipvs.servers import ClientMarks
from dataplane.nft import elements, fields, guard
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import Set
from dataplane.nft.plan import Plan
from dataplane.table import Client, Family, ForwardingTable, Frontend, FrontendKey

_SMALLEST_SIZE = 1024

Member: TypeAlias = tuple[str, bytes, bytes]
"""(set, key, tail)"""


class OutgrownError(Exception):
    """A set must hold more than it was made for; only writing everything anew makes it larger."""


class _Held(NamedTuple):
    """What is in the sets for one frontend. Hairpin keys may be shared by frontends."""

    members: frozenset[Member]
    hairpins: frozenset[bytes]


_NOTHING = _Held(frozenset(), frozenset())


class Ruleset:
    """The state of one family's table. After `update` it is what the kernel holds once the plan is carried out.

    `connection_bits` are the two bits of a connection's mark, as `marks.connection_bits` gives them.
    """

    def __init__(self, layer: Layer3, connection_bits: tuple[int, int]) -> None:
        self.layer = layer
        self._bits = connection_bits
        self._held: dict[FrontendKey, _Held] = {}
        self._hairpins: Counter[bytes] = Counter()
        self._counts: Counter[str] = Counter()
        self.sets: dict[str, Set] = {}

    def update(
        self,
        changes: Changes,
        table: ForwardingTable,
        frontends: Mapping[FrontendKey, tuple[Frontend, ClientMarks] | None],
    ) -> Plan:
        """The plan that leads from the present table to `table`; `frontends` are those to look at, with their marks.

        Raises OutgrownError; the ruleset is of no use then.
        """
        plan = Plan()
        chains = {c.name: c for c in rules.chains(self.layer, table, *self._bits)}
        if not self.sets:
            plan.new_chains = chains
            self.sets = {spec.name: spec for spec in rules.sets(self.layer)}
            plan.new_sets = self.sets
        elif any((*changes.service_cidrs, *changes.node_addresses)) or changes.detect_local is not None:
            plan.changed_chains = chains
        for name, (gone, come) in (
            (guard.CLUSTER_IPS, changes.cluster_ips),
            (guard.NODE_ADDRESSES, changes.node_addresses),
        ):
            plan.remove(name, self._addresses(gone))
            plan.add(name, self._addresses(come))
        self._update_frontends(plan, table, frontends)
        self._measure(plan)
        return plan

    def _addresses(self, texts: Iterable[str]) -> list[elements.Element]:
        own = (t for t in texts if Family.of(t) is self.layer.family)
        return [(fields.address(t), elements.NO_TAIL) for t in own if t != self.layer.family.any_address]

    def _update_frontends(
        self,
        plan: Plan,
        table: ForwardingTable,
        frontends: Mapping[FrontendKey, tuple[Frontend, ClientMarks] | None],
    ) -> None:
        clients = [c for c in Client if c is not Client.POD or table.detect_local.applies_to(self.layer.family)]
        hairpins: dict[bytes, bool] = {}  # those touched, and whether they were there before
        for key, wanted in frontends.items():
            if key.family is not self.layer.family:
                continue
            before = self._held.pop(key, _NOTHING)
            after = _NOTHING if wanted is None else _held(*wanted, clients)
            if wanted is not None:
                self._held[key] = after
            for name, element_key, tail in before.members - after.members:
                plan.remove(name, [(element_key, tail)])
            for name, element_key, tail in after.members - before.members:
                plan.add(name, [(element_key, tail)])
            for hairpin in before.hairpins ^ after.hairpins:
                hairpins.setdefault(hairpin, self._hairpins[hairpin] > 0)
                self._hairpins[hairpin] += 1 if hairpin in after.hairpins else -1
        for hairpin, was_there in hairpins.items():
            is_there = self._hairpins[hairpin] > 0
            if is_there and not was_there:
                plan.add(guard.HAIRPIN, [(hairpin, elements.NO_TAIL)])
            elif was_there and not is_there:
                plan.remove(guard.HAIRPIN, [(hairpin, elements.NO_TAIL)])
            if not is_there:
                del self._hairpins[hairpin]

    def _measure(self, plan: Plan) -> None:
        """Count elements, and give new sets room for twice as many as they get."""
        for name, gone in plan.removed.items():
            self._counts[name] -= len(gone)
        for name, come in plan.added.items():
            self._counts[name] += len(come)
        for name, spec in plan.new_sets.items():
            count = self._counts[name]
            size = max(_SMALLEST_SIZE, 1 << (2 * count - 1).bit_length() if count else 0)
            plan.new_sets[name] = self.sets[name] = spec.sized(size)
        for name in plan.added:
            if self._counts[name] > self.sets[name].size:
                raise OutgrownError(name)

    def members(self, key: FrontendKey) -> frozenset[Member]:
        """What is in the sets for a frontend."""
        return self._held[key].members


def _held(frontend: Frontend, client_marks: ClientMarks, clients: Iterable[Client]) -> _Held:
    return _Held(
        frozenset(_members(frontend, client_marks, clients)),
        frozenset(hairpin for pool in frontend.pools for hairpin in guard.hairpins(frontend, pool)),
    )


def _members(frontend: Frontend, client_marks: ClientMarks, clients: Iterable[Client]) -> Iterator[Member]:
    head = guard.element_key(frontend.key)
    by_client = dict(zip(Client, client_marks, strict=True))
    for client in clients:
        name = rules.map_name(client, node_port=frontend.key.is_node_port)
        yield name, head, elements.value_tail(fields.mark(by_client[client]))
    yield from guard.limits(frontend, head)
