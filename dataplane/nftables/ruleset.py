"""What one family's table should hold, kept as counts, and how a change of the ForwardingTable changes it.

Pure: nothing here talks to the kernel. A frontend's elements are not stored; they are computed again from the old
frontend when it changes. What is stored is what frontends share: how many use a chain, a set or a hairpin entry,
and the memories of session affinity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from dataplane.changes import Changes
from dataplane.nft import elements, fields, guard
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import Chain, Set
from dataplane.nft.plan import Plan, Relocation
from dataplane.nftables import skeleton
from dataplane.nftables.affinity import NO_MEMORY, Memory, memory
from dataplane.nftables.counting import Counted
from dataplane.nftables.frontends import Parts, Translator, verdicts
from dataplane.table import (
    DetectLocal,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
)

_SMALLEST_SIZE = 1024

_Pair: TypeAlias = tuple[Frontend | None, Frontend | None]
"""A frontend before and after."""


class OutgrownError(Exception):
    """A set must hold more than it was made for; only writing everything anew makes it larger."""


class _MemoryKey(NamedTuple):
    name: str
    protocol: Protocol


class _Remembered(NamedTuple):
    """The memory of one service port, and the frontends that need it."""

    frontends: dict[FrontendKey, Frontend]
    memory: Memory


class Ruleset:
    """The state of one family's table. After `update` it is what the kernel holds once the plan is carried out."""

    def __init__(self, layer: Layer3, detect: DetectLocal, mark: int) -> None:
        self._layer, self._mark = layer, mark
        self._translator = Translator(layer, detect, mark)
        self._pods_are_told = detect.applies_to(layer.family)
        self._chains: Counted[Chain] = Counted()
        self._sets: Counted[Set] = Counted()
        self._hairpins: Counter[bytes] = Counter()
        self._memories: dict[_MemoryKey, _Remembered] = {}
        self._counts: Counter[str] = Counter()  # elements of each set

    @property
    def chains(self) -> Mapping[str, Chain]:
        return self._chains.present

    @property
    def sets(self) -> Mapping[str, Set]:
        return self._sets.present

    def update(self, changes: Changes, table: ForwardingTable) -> Plan:
        """The plan that leads from the present table to `table`; `changes` must be the difference of the two.

        Raises OutgrownError; the ruleset is of no use then.
        """
        plan = Plan()
        self._update_skeleton(plan, changes, table)
        self._update_frontends(plan, changes.frontends)
        plan.new_chains, plan.changed_chains, plan.gone_chains = self._chains.settle()
        plan.new_sets, plan.changed_sets, plan.gone_sets = self._sets.settle()
        self._measure(plan)
        return plan

    def parts(self, frontend: Frontend) -> Parts:
        """What serves a frontend of the present table."""
        return self._translator.parts(frontend, self._entry)

    # --- what does not depend on frontends ----------------------------------------------------------------------

    def _update_skeleton(self, plan: Plan, changes: Changes, table: ForwardingTable) -> None:
        if not self.chains:
            for spec in skeleton.sets(self._layer):
                self._sets.hold(spec)
            for chain in skeleton.chains(self._layer, table, self._mark):
                self._chains.hold(chain)
        elif any((*changes.service_cidrs, *changes.node_addresses)):
            for chain in skeleton.chains(self._layer, table, self._mark):
                self._chains.replace(chain)
        for name, (gone, come) in (
            (guard.CLUSTER_IPS, changes.cluster_ips),
            (guard.NODE_ADDRESSES, changes.node_addresses),
        ):
            plan.remove(name, self._addresses(gone))
            plan.add(name, self._addresses(come))

    def _addresses(self, texts: Iterable[str]) -> list[elements.Element]:
        own = (t for t in texts if Family.of(t) is self._layer.family)
        return [(fields.address(t), elements.NO_TAIL) for t in own if t != self._layer.family.any_address]

    # --- frontends ----------------------------------------------------------------------------------------------

    def _update_frontends(self, plan: Plan, changed: Mapping[FrontendKey, _Pair]) -> None:
        is_ipv6 = self._layer.family is Family.IPV6
        own = {key: pair for key, pair in changed.items() if (":" in key[0]) is is_ipv6}
        before = self._update_memories(plan, own)

        def entry_before(pool: Pool, protocol: Protocol) -> str:
            assert pool.affinity is not None
            known = before.get(_MemoryKey(pool.affinity.name, protocol))
            return known.entry(pool) if known else self._entry(pool, protocol)

        hairpins: dict[bytes, bool] = {}  # those touched, and whether they were there before
        for old, new in own.values():
            old_parts = _NOTHING if old is None else self._translator.parts(old, entry_before)
            new_parts = _NOTHING if new is None else self._translator.parts(new, self._entry)
            self._exchange_elements(plan, old_parts, new_parts)
            self._count_hairpins(hairpins, old_parts, new_parts)
            for chain in new_parts.chains:
                self._hold(chain)
            for chain in old_parts.chains:
                self._release(chain)
        self._exchange_hairpins(plan, hairpins)

    def _exchange_elements(self, plan: Plan, old: Parts, new: Parts) -> None:
        if not old.elements:
            for name, key, tail in new.elements:
                plan.added.setdefault(name, []).append((key, tail))
            return
        before = {(name, key): tail for name, key, tail in old.elements}
        for name, key, tail in new.elements:
            known = before.pop((name, key), None)
            if known == tail:
                continue
            if known is not None:
                plan.removed.setdefault(name, []).append((key, known))
            plan.added.setdefault(name, []).append((key, tail))
        for (name, key), tail in before.items():
            plan.removed.setdefault(name, []).append((key, tail))

    def _hold(self, chain: Chain) -> None:
        self._chains.hold(chain)
        for spec in chain.needs:
            self._sets.hold(spec)

    def _release(self, chain: Chain) -> None:
        self._chains.release(chain)
        for spec in chain.needs:
            self._sets.release(spec)

    def _count_hairpins(self, touched: dict[bytes, bool], old: Parts, new: Parts) -> None:
        if old.hairpins == new.hairpins:
            return
        for key in new.hairpins:
            touched.setdefault(key, self._hairpins[key] > 0)
            self._hairpins[key] += 1
        for key in old.hairpins:
            touched.setdefault(key, True)
            self._hairpins[key] -= 1

    def _exchange_hairpins(self, plan: Plan, touched: dict[bytes, bool]) -> None:
        gone = [key for key, was_there in touched.items() if was_there and not self._hairpins[key]]
        come = [key for key, was_there in touched.items() if not was_there and self._hairpins[key]]
        for key in touched:
            if not self._hairpins[key]:
                del self._hairpins[key]
        plan.remove(guard.HAIRPIN, [(key, elements.NO_TAIL) for key in gone])
        plan.add(guard.HAIRPIN, [(key, elements.NO_TAIL) for key in come])

    # --- affinity -----------------------------------------------------------------------------------------------

    def _update_memories(self, plan: Plan, own: dict[FrontendKey, _Pair]) -> dict[_MemoryKey, Memory]:
        """Rebuild the memories that change, and return the old ones.

        Frontends that stay but share a memory that changes are added to `own`: their chains may be others now.
        """
        users_of: dict[_MemoryKey, dict[FrontendKey, Frontend]] = {}
        for key, (old, new) in own.items():
            for memory_key in self._memory_keys(old) | self._memory_keys(new):
                if memory_key not in users_of:
                    known = self._memories.get(memory_key)
                    users_of[memory_key] = dict(known.frontends) if known else {}
                users_of[memory_key].pop(key, None)
            if new is not None:
                for memory_key in self._memory_keys(new):
                    users_of[memory_key][key] = new
        before: dict[_MemoryKey, Memory] = {}
        rebound: list[Chain] = []  # chains of maps that must be made anew
        for memory_key, users in users_of.items():
            known = self._memories.pop(memory_key, None)
            before[memory_key] = known.memory if known else NO_MEMORY
            after = memory(self._layer, memory_key.name, memory_key.protocol, self._pools(memory_key, users))
            if users:
                self._memories[memory_key] = _Remembered(users, after)
            for chain in after.chains:
                self._hold(chain)
            for spec in after.sets:
                self._sets.hold(spec)
            for chain in before[memory_key].chains:
                self._release(chain)
            for spec in before[memory_key].sets:
                self._sets.release(spec)
            others_known = before[memory_key].known != after.known
            for name, port in before[memory_key].ports.items():
                if users and (others_known or _somebody_left(name, before[memory_key], after)):
                    timeout = after.timeout if name in after.ports else before[memory_key].timeout
                    plan.relocations[name] = Relocation(port, after.places, bool(after.known), timeout, after.timeout)
            if any(old.name == new.name and old != new for old in before[memory_key].maps for new in after.maps):
                rebound.extend(after.chains)
            for key, frontend in users.items():
                own.setdefault(key, (frontend, frontend))
        plan.rebound_chains = {chain.name: chain for chain in rebound}
        return before

    def _memory_keys(self, frontend: Frontend | None) -> set[_MemoryKey]:
        if frontend is None:
            return set()
        return {
            _MemoryKey(pool.affinity.name, frontend.key.protocol)
            for pool in self._pools_of(frontend)
            if pool.affinity is not None
        }

    def _pools(self, key: _MemoryKey, users: Mapping[FrontendKey, Frontend]) -> list[Pool]:
        """The distinct pools of this memory."""
        found: list[Pool] = []
        for frontend in users.values():
            for pool in self._pools_of(frontend):
                mine = pool.affinity is not None and pool.affinity.name == key.name
                if mine and not any(known is pool or known == pool for known in found):
                    found.append(pool)
        return found

    def _pools_of(self, frontend: Frontend) -> Iterator[Pool]:
        for verdict in verdicts(frontend, self._pods_are_told):
            if isinstance(verdict, Forward):
                yield verdict.pool

    def _entry(self, pool: Pool, protocol: Protocol) -> str:
        assert pool.affinity is not None
        return self._memories[_MemoryKey(pool.affinity.name, protocol)].memory.entry(pool)

    def relocations(self) -> dict[str, Relocation]:
        """For every map of session affinity, what belongs in it."""
        return {
            name: Relocation(port, now.places, bool(now.known), now.timeout, now.timeout)
            for now in (known.memory for known in self._memories.values())
            for name, port in now.ports.items()
        }

    # --- sizes --------------------------------------------------------------------------------------------------

    def _measure(self, plan: Plan) -> None:
        """Count elements, and give new sets room for twice as many as they get."""
        for name, gone in plan.removed.items():
            self._counts[name] -= len(gone)
        for name, come in plan.added.items():
            self._counts[name] += len(come)
        for name in plan.gone_sets:
            del self._counts[name]
        for name, spec in plan.new_sets.items():
            if not spec.timeout:
                plan.new_sets[name] = self._sets.present[name] = spec.sized(_size_for(self._counts[name]))
        for name in plan.added:
            if self._counts[name] > self._sets.present[name].size:
                raise OutgrownError(name)


_NOTHING = Parts([], [], ())


def _size_for(count: int) -> int:
    return max(_SMALLEST_SIZE, 1 << (2 * count - 1).bit_length() if count else 0)


def _somebody_left(map_name: str, before: Memory, after: Memory) -> bool:
    """A backend's entries are no longer to be in this map."""
    return any(place == map_name and after.places.get(e) != map_name for e, place in before.places.items())
