"""What goes when something else goes: objects with their owners, a namespace with all that is in it.

The real cluster has controllers for this that follow some time later. Here it happens in the same step, so that after
a deletion returns its consequences can be seen: dependents are gone, or on their way out (Pods that a node must stop).
Only emptying a namespace may be put off (`Store.defer`): a manifest that begins with its namespace could not be deleted
with `kubectl delete -f` otherwise.

Foreground: the owner stays, with a finalizer, until the dependents that block it are gone. Orphan: dependents lose
their reference and stay. Background: the owner goes first.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from lab.api.errors import Object
from lab.api.history import Change, Stored
from lab.api.registry import NAMESPACES, RESOURCES, Resource
from lab.api.schema import copied
from lab.api.watching import Filter

if TYPE_CHECKING:
    from lab.api.store import Store

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class GarbageCollector:
    """Follows every change of one store and deletes what must go with it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owners: dict[str, tuple[Resource, str]] = {}  # uid of every object → where it is
        self._dependents: dict[str, set[tuple[Resource, str]]] = defaultdict(set)  # owner's uid → who names it

    def finalizers_for(self, resource: Resource, obj: Object, propagation: str) -> list[str]:
        """The finalizers that a deletion leaves the object with."""
        finalizers = [f for f in obj["metadata"].get("finalizers", []) if f not in (FOREGROUND, ORPHAN)]
        dependents = self._dependents.get(obj["metadata"]["uid"])
        if propagation == "Foreground" and dependents:
            finalizers.append(FOREGROUND)
        elif propagation == "Orphan" and dependents:
            finalizers.append(ORPHAN)
        return finalizers

    def is_kept(self, resource: Resource, obj: Object) -> bool:
        """Whether something besides finalizers keeps an object that is to be deleted."""
        return resource is NAMESPACES and bool(self._content(obj["metadata"]["name"]))

    def follow(self, resource: Resource, change: Change) -> None:
        """Do what this change entails."""
        meta = change.stored.object["metadata"]
        where = (resource, change.stored.key)
        before = _owner_uids(change.previous)
        now = _owner_uids(change.stored) if change.type != "DELETED" else set()
        for uid in before - now:
            self._dependents[uid].discard(where)
            if not self._dependents[uid]:
                del self._dependents[uid]
        for uid in now - before:
            self._dependents[uid].add(where)
        if change.type == "DELETED":
            self._owners.pop(meta["uid"], None)
            self._after_removal(resource, change.stored, before)
            return
        self._owners[meta["uid"]] = where
        if now - before and not any(uid in self._owners for uid in now):
            self._delete(where, "Background")
        elif "deletionTimestamp" in meta and (
            change.previous is None
            or change.previous.object["metadata"].get("finalizers") != meta.get("finalizers")
            or "deletionTimestamp" not in change.previous.object["metadata"]
        ):
            self._after_mark(resource, change.stored)

    # --- what follows from what -----------------------------------------------------------------------------------

    def _after_mark(self, resource: Resource, stored: Stored) -> None:
        meta = stored.object["metadata"]
        if resource is NAMESPACES:
            self._store.defer(lambda: self._empty(meta["name"], meta["uid"]))
        elif FOREGROUND in meta.get("finalizers", ()):
            for where in sorted(self._dependents.get(meta["uid"], ()), key=_order):
                self._delete(where, "Foreground")
            self._check_foreground(meta["uid"])
        elif ORPHAN in meta.get("finalizers", ()):
            for where in sorted(self._dependents.get(meta["uid"], ()), key=_order):
                self._disown(where, meta["uid"])
            self._drop_finalizer((resource, stored.key), ORPHAN)

    def _after_removal(self, resource: Resource, gone: Stored, owners: set[str]) -> None:
        meta = gone.object["metadata"]
        for where in sorted(self._dependents.get(meta["uid"], ()), key=_order):
            if not self._has_other_owner(where):
                self._delete(where, "Background")
        for uid in owners:
            self._check_foreground(uid)
        if resource.namespaced:
            self._check_namespace(meta["namespace"])

    def _check_foreground(self, uid: str) -> None:
        """Let an owner go that waited for dependents, once none that blocks it is left."""
        owner = self._owners.get(uid)
        if owner is None or self._object(owner) is None:
            return
        for dependent in self._dependents.get(uid, ()):
            obj = self._object(dependent)
            if obj and any(r["uid"] == uid and r.get("blockOwnerDeletion") for r in obj["metadata"]["ownerReferences"]):
                return
        self._drop_finalizer(owner, FOREGROUND)

    def _empty(self, namespace: str, uid: str) -> None:
        present = self._object((NAMESPACES, namespace))
        if present is None or present["metadata"]["uid"] != uid:
            return  # gone by itself in the meantime; another one of that name is not ours to empty
        for where in self._content(namespace):
            self._delete(where, "Background")
        self._check_namespace(namespace)

    def _check_namespace(self, name: str) -> None:
        namespace = self._object((NAMESPACES, name))
        if namespace and namespace["metadata"].get("deletionTimestamp") and not self._content(name):
            self._store.settle(NAMESPACES, name)

    # --- steps ----------------------------------------------------------------------------------------------------

    def _object(self, where: tuple[Resource, str]) -> Object | None:
        resource, key = where
        found = self._store.find(resource, key)
        return found.object if found else None

    def _delete(self, where: tuple[Resource, str], propagation: str) -> None:
        obj = self._object(where)
        if obj:
            meta = obj["metadata"]
            self._store.delete(where[0], meta.get("namespace", ""), meta["name"], propagation=propagation)

    def _drop_finalizer(self, where: tuple[Resource, str], finalizer: str) -> None:
        obj = self._object(where)
        if obj and finalizer in obj["metadata"].get("finalizers", ()):
            new = copied(obj)
            new["metadata"]["finalizers"] = [f for f in new["metadata"]["finalizers"] if f != finalizer]
            self._store.update(where[0], new)

    def _disown(self, where: tuple[Resource, str], uid: str) -> None:
        obj = self._object(where)
        if obj:
            new = copied(obj)
            meta = new["metadata"]
            meta["ownerReferences"] = [r for r in meta["ownerReferences"] if r["uid"] != uid]
            self._store.update(where[0], new)

    def _has_other_owner(self, where: tuple[Resource, str]) -> bool:
        obj = self._object(where)
        return obj is not None and any(r["uid"] in self._owners for r in obj["metadata"].get("ownerReferences", ()))

    def _content(self, namespace: str) -> list[tuple[Resource, str]]:
        """Everything in a namespace."""
        return [
            (resource, stored.key)
            for resource in RESOURCES
            if resource.namespaced and resource.view_of is None
            for stored in self._store.page(resource, Filter(resource, namespace)).items
        ]


def _owner_uids(stored: Stored | None) -> set[str]:
    if stored is None:
        return set()
    return {reference["uid"] for reference in stored.object["metadata"].get("ownerReferences", ())}


def _order(where: tuple[Resource, str]) -> tuple[str, str]:
    return (where[0].plural, where[1])
