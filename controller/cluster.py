"""What is known of the cluster: Services, their slices, this node, the Service CIDRs.

Each kind is a `Collection`, which a reflector fills. The Cluster remembers which Services are affected by what
came in, until somebody takes the changes to act on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from controller.compiler import ServiceKey
from controller.objects import (
    LABEL_HEADLESS,
    LABEL_SERVICE_NAME,
    EndpointSlice,
    Node,
    Object,
    ObjectKey,
    Service,
    ServiceCIDR,
)
from controller.trigger_times import TriggerTimes
from dataplane.addresses import canonical_network

T = TypeVar("T", bound=Object)

ServiceChanges: TypeAlias = Mapping[ServiceKey, tuple[Service | None, tuple[EndpointSlice, ...]]]
"""For each Service that is affected: the Service as it is now (None: gone) and its slices."""


class Collection(Generic[T]):
    """All objects of one kind. Tells every difference as (key, old, new), and nothing that stays the same."""

    def __init__(self, changed: Callable[[ObjectKey, T | None, T | None], None]) -> None:
        self._objects: dict[ObjectKey, T] = {}
        self._changed = changed

    @property
    def objects(self) -> Mapping[ObjectKey, T]:
        return self._objects

    def replace(self, objects: Mapping[ObjectKey, T]) -> None:
        """A complete list came in: what is not in it is gone."""
        for key in [key for key in self._objects if key not in objects]:
            self.change(key, None)
        for key, new in objects.items():
            self.change(key, new)

    def change(self, key: ObjectKey, new: T | None) -> None:
        """One object came, changed or (None) went."""
        old = self._objects.get(key)
        if old == new:
            return
        if new is None:
            del self._objects[key]
        else:
            self._objects[key] = new
        self._changed(key, old, new)


@dataclass(slots=True)
class ChangeCount:
    """How many changes of one kind came in, and how many of them nobody has taken yet."""

    seen: int = 0
    pending: int = 0

    def add(self) -> None:
        self.seen += 1
        self.pending += 1


class Cluster:
    """The collections, and what follows from their changes.

    `notify` is called after each difference that can matter to a dataplane.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self.services = Collection[Service](self._service_changed)
        self.slices = Collection[EndpointSlice](self._slice_changed)
        self.nodes = Collection[Node](self._other_changed)
        self.service_cidrs = Collection[ServiceCIDR](self._other_changed)
        self.service_changes = ChangeCount()
        self.slice_changes = ChangeCount()
        self.trigger_times = TriggerTimes(since=time.time())
        self._notify = notify
        self._slices_of: dict[ServiceKey, dict[ObjectKey, EndpointSlice]] = {}
        self._affected: set[ServiceKey] = set()

    def take_changes(self) -> ServiceChanges:
        """The Services affected since the last call, as they are now."""
        affected, self._affected = self._affected, set()
        self.service_changes.pending = self.slice_changes.pending = 0
        return {key: self.look_up(key) for key in affected}

    def everything(self) -> ServiceChanges:
        """Every Service there is, for when something changed that concerns them all."""
        return {key: self.look_up(key) for key in self.services.objects}

    def look_up(self, key: ServiceKey) -> tuple[Service | None, tuple[EndpointSlice, ...]]:
        return self.services.objects.get(key), tuple(self._slices_of.get(key, {}).values())

    def networks(self) -> frozenset[str]:
        """The networks of all ServiceCIDR objects; one that two objects name goes when both are gone."""
        texts = (text for cidr in self.service_cidrs.objects.values() for text in cidr.spec.cidrs or ())
        return frozenset(n for n in map(canonical_network, texts) if n is not None)

    def _service_changed(self, key: ObjectKey, old: Service | None, new: Service | None) -> None:
        self.service_changes.add()
        self._affected.add(key)
        self._notify()

    def _slice_changed(self, key: ObjectKey, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        before, after = _service_of(old), _service_of(new)
        if before is not None:
            pieces = self._slices_of[before]
            del pieces[key]
            if not pieces:
                del self._slices_of[before]
            self._affected.add(before)
            if before != after:
                self.trigger_times.forget(before)
        if after is not None and new is not None:
            self._slices_of.setdefault(after, {})[key] = new
            self._affected.add(after)
            self.trigger_times.note(after, new)
        if before is not None or after is not None:
            self.slice_changes.add()
            self._notify()

    def _other_changed(self, key: ObjectKey, old: object, new: object) -> None:
        self._notify()


def _service_of(piece: EndpointSlice | None) -> ServiceKey | None:
    """The Service that a slice belongs to. Slices of headless Services, and those without the label, have none."""
    if piece is None or piece.metadata.labels is None or LABEL_HEADLESS in piece.metadata.labels:
        return None
    name = piece.metadata.labels.get(LABEL_SERVICE_NAME)
    return (piece.metadata.namespace, name) if name else None
