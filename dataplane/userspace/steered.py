"""What the steering rules hold, and what a change of tables adds and removes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeAlias

from dataplane.changes import Changes
from dataplane.nft.elements import Element
from dataplane.nft.layer3 import Layer3
from dataplane.nft.plan import Plan
from dataplane.table import Endpoint, Family, ForwardingTable, Frontend, FrontendKey
from dataplane.userspace import steering
from dataplane.userspace.held import Held, User, places

Place: TypeAlias = tuple[Layer3, str, Element]
"""An element in a set of a table."""


class Steered:
    """Everything in the sets. `busy` says whether a service port's backend still has connections."""

    def __init__(self, busy: Callable[[User], bool]) -> None:
        self._busy = busy
        self._places: Held[Place] = Held()
        self._counts: Counter[tuple[Layer3, str]] = Counter()
        self.table = ForwardingTable()

    def update(self, table: ForwardingTable) -> dict[Layer3, Plan]:
        """Go over to this table. Returns what has to be written for that, by family."""
        changes, plans = Changes.between(self.table, table), _plans()
        for before, after in changes.frontends.values():
            self._add(plans, self._places.replace(_places(before), _places(after)))
        for name, (gone, come) in (
            (steering.CLUSTER_IPS, changes.cluster_ips),
            (steering.NODE_ADDRESSES, changes.node_addresses),
        ):
            old, new = ({_of_address(name, address): frozenset[User]() for address in each} for each in (gone, come))
            self._add(plans, self._places.replace(old, new))
        self.table = table
        self._prune(plans)
        return plans

    def prune(self) -> dict[Layer3, Plan]:
        """What can go because the last connection has ended."""
        plans = _plans()
        self._prune(plans)
        return plans

    def keep(self, key: FrontendKey, backend: Endpoint, user: User) -> None:
        """Connections from a frontend to a backend are known of which no table says so any more."""
        layer = steering.LAYERS[key.family]
        for place in (
            (layer, *steering.of_frontend(key)),
            (layer, *steering.of_backend(backend, key.protocol)),
        ):
            self._counts[place[:2]] += self._places.keep(place, user)

    def everything(self) -> dict[Layer3, Plan]:
        """What has to be written where there is nothing yet: sets with room for twice as much, and their elements."""
        plans = _plans()
        for layer, name, element in self._places:
            plans[layer].add(name, [element])
        for layer, plan in plans.items():
            for spec in steering.sets(layer):
                count = len(plan.added.get(spec.name, ()))
                plan.new_sets[spec.name] = spec.sized(max(spec.size, 2 * count))
        return plans

    @property
    def counts(self) -> Counter[tuple[Layer3, str]]:
        """How many elements there are, by table and set."""
        return self._counts

    def _add(self, plans: dict[Layer3, Plan], places: Iterable[Place]) -> None:
        for layer, name, element in places:
            self._counts[layer, name] += 1
            plans[layer].add(name, [element])

    def _prune(self, plans: dict[Layer3, Plan]) -> None:
        for layer, name, element in self._places.prune(self._busy):
            self._counts[layer, name] -= 1
            plans[layer].remove(name, [element])


def _plans() -> dict[Layer3, Plan]:
    return {layer: Plan() for layer in steering.LAYERS.values()}


def _of_address(name: str, address: str) -> Place:
    return (steering.LAYERS[Family.of(address)], *steering.of_address(name, address))


def _places(frontend: Frontend | None) -> dict[Place, frozenset[User]]:
    """The elements that a frontend needs, each with those whose connections it carries."""
    if frontend is None:
        return {}
    protocol, layer = frontend.key.protocol, steering.LAYERS[frontend.key.family]
    return places(
        frontend,
        [(layer, *steering.of_frontend(frontend.key))],
        lambda endpoint: [(layer, *steering.of_backend(endpoint, protocol))],
    )
