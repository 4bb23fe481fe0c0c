"""What the steering rules hold, and what a change of tables adds and removes.

An element outlives its frontend or backend for as long as connections go on that began there: TCP connections of a
Service that is gone, or to a backend that serves no new ones, must still meet the engine in both directions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from dataplane.changes import Changes
from dataplane.nft.elements import Element
from dataplane.nft.layer3 import Layer3
from dataplane.nft.plan import Plan
from dataplane.table import Endpoint, Family, ForwardingTable, Frontend, FrontendKey, Protocol
from dataplane.userspace import steering

User: TypeAlias = tuple[str, Endpoint]
"""A service port's name and one of its backends: what the engine counts connections of."""

Place: TypeAlias = tuple[Layer3, str, Element]
"""An element in a set of a table."""


class Steered:
    """Everything in the sets. `busy` says whether a service port's backend still has connections."""

    def __init__(self, busy: Callable[[User], bool]) -> None:
        self._busy = busy
        self._holders: Counter[Place] = Counter()
        self._leaving: dict[Place, set[User]] = {}
        self._counts: Counter[tuple[Layer3, str]] = Counter()
        self.table = ForwardingTable()

    def update(self, table: ForwardingTable) -> dict[Layer3, Plan]:
        """Go over to this table. Returns what has to be written for that, by family."""
        changes, plans = Changes.between(self.table, table), _plans()
        for before, after in changes.frontends.values():
            if after is not None:
                for place, _ in _places(after):
                    self._hold(plans, place)
            if before is not None:
                for place, users in _places(before):
                    self._release(plans, place, users)
        for name, (gone, come) in (
            (steering.CLUSTER_IPS, changes.cluster_ips),
            (steering.NODE_ADDRESSES, changes.node_addresses),
        ):
            for address in come:
                self._hold(plans, _of_address(name, address))
            for address in gone:
                self._release(plans, _of_address(name, address), ())
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
            if not self._holders[place]:
                self._counts[place[:2]] += place not in self._leaving
                self._leaving.setdefault(place, set()).add(user)

    def everything(self) -> dict[Layer3, Plan]:
        """What has to be written where there is nothing yet: sets with room for twice as much, and their elements."""
        plans = _plans()
        for (layer, name, element), count in self._holders.items():
            if count:
                plans[layer].add(name, [element])
        for layer, name, element in self._leaving:
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

    def _hold(self, plans: dict[Layer3, Plan], place: Place) -> None:
        self._holders[place] += 1
        if self._holders[place] == 1 and self._leaving.pop(place, None) is None:
            layer, name, element = place
            self._counts[layer, name] += 1
            if element in plans[layer].removed.get(name, ()):
                plans[layer].removed[name].remove(element)
            else:
                plans[layer].add(name, [element])

    def _release(self, plans: dict[Layer3, Plan], place: Place, users: Iterable[User]) -> None:
        self._holders[place] -= 1
        if not self._holders[place]:
            del self._holders[place]
            self._leaving[place] = set(users)

    def _prune(self, plans: dict[Layer3, Plan]) -> None:
        for place, users in list(self._leaving.items()):
            users.difference_update([user for user in users if not self._busy(user)])
            if not users:
                del self._leaving[place]
                layer, name, element = place
                self._counts[layer, name] -= 1
                plans[layer].remove(name, [element])


def _plans() -> dict[Layer3, Plan]:
    return {layer: Plan() for layer in steering.LAYERS.values()}


def _of_address(name: str, address: str) -> Place:
    return (steering.LAYERS[Family.of(address)], *steering.of_address(name, address))


def _places(frontend: Frontend) -> Iterator[tuple[Place, frozenset[User]]]:
    """The elements that a frontend needs, each with those whose connections it carries."""
    key = frontend.key
    layer = steering.LAYERS[key.family]
    answering = steering.endpoints(frontend)
    users = frozenset((frontend.service, endpoint) for endpoint in answering)
    # UDP flows end with what they were for: nobody has to wait for them.
    lasting = key.protocol is not Protocol.UDP
    yield (layer, *steering.of_frontend(key)), users if lasting else frozenset()
    for endpoint in answering:
        user = frozenset({(frontend.service, endpoint)}) if lasting else frozenset()
        yield (layer, *steering.of_backend(endpoint, key.protocol)), user
