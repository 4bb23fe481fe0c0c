"""The cluster's objects, in memory: get, list, watch, create, update, patch, delete, as the real API server does them.

Single-threaded (one asyncio loop) and without I/O. Controllers in the same process use it directly; HTTP is a thin
layer over it. Objects are plain dicts as in JSON and are never changed once they are stored: what a caller hands in is
copied, and what it gets back it must not write to (copy it with `lab.api.schema.copied`).

One counter gives every change of every object its resourceVersion, so versions order all that ever happened.
"""

from __future__ import annotations

import bisect
import ipaddress
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from lab.api import errors, patches
from lab.api.admission import metadata
from lab.api.admission.base import Admission, Surroundings
from lab.api.decoding import decoded
from lab.api.errors import Object
from lab.api.garbage import GarbageCollector
from lab.api.history import Change, History, Stored
from lab.api.patches.applied import applied
from lab.api.registry import NAMESPACES, PODS, RESOURCES, SERVICE_CIDRS, Resource
from lab.api.schema import copied
from lab.api.selectors import FieldSelector, Selector
from lab.api.watching import Event, Filter, Watch

SERVICE_NETWORKS = ("10.96.0.0/12", "fd00:10:96::/112")
NODE_PORTS = range(30000, 32768)
DEFAULT_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


Paths: TypeAlias = list[str]  #: of fields, as in ``spec.ports[0].portz``


class Page:
    """A part of a list: the objects, the version that all parts show, and where the next part begins."""

    __slots__ = ("items", "next_key", "remaining", "version")

    def __init__(self, items: list[Stored], version: int, next_key: str = "", remaining: int = 0) -> None:
        self.items = items
        self.version = version
        self.next_key = next_key  #: "" if this is the last part
        self.remaining = remaining  #: how many objects come after this part


class _Table:
    """The objects of one resource by key, their keys in order, and what changed."""

    __slots__ = ("admission", "history", "keys", "objects")

    def __init__(self, admission: Admission, history: int) -> None:
        self.admission = admission
        self.objects: dict[str, Stored] = {}
        self.keys: list[str] = []
        self.history = History(history)


class Store:
    """All objects of one cluster.

    `service_networks` are those that cluster IPs are given from, the first one's family being the default.
    `history` is how many changes per resource are remembered for watches. `seed` makes what is chosen at random
    (names, uids, NodePorts, cluster IPs) the same each time.
    """

    def __init__(
        self,
        *,
        service_networks: Sequence[str] = SERVICE_NETWORKS,
        node_ports: range = NODE_PORTS,
        history: int = 10_000,
        seed: int | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._random = random.Random(seed)
        self._clock = clock
        self._version = 0
        around = Surroundings(self._all_of, node_ports, self._random)
        self._tables = {r: _Table(r.admission(around), history) for r in RESOURCES if r.view_of is None}
        self._garbage = GarbageCollector(self)
        #: runs what may happen a little later than the request that caused it; at once unless somebody sets it
        self.defer: Callable[[Callable[[], None]], object] = _at_once
        self._applied: dict[str, dict[str, Object]] = {}  # uid → field manager → what it applied last
        for name in DEFAULT_NAMESPACES:
            self.create(NAMESPACES, {"metadata": {"name": name}})
        self.create(SERVICE_CIDRS, {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": list(service_networks)}})

    # --- reading ------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The version of the last change."""
        return self._version

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object. `namespace` is ignored for what has none. ApiError 404 if there is none."""
        return self.stored(resource, namespace, name).object

    def stored(self, resource: Resource, namespace: str, name: str) -> Stored:
        """Like `get`, with the object's JSON."""
        found = self._tables[resource].objects.get(_key(resource, namespace, name))
        if found is None:
            raise errors.not_found(resource, name)
        return found

    def find(self, resource: Resource, key: str) -> Stored | None:
        """The object with this key (``namespace/name``, or ``name``), or None."""
        return self._tables[resource].objects.get(key)

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        labels: Selector | None = None,
        fields: FieldSelector | None = None,
    ) -> tuple[list[Object], str]:
        """The objects, by namespace and name, of one namespace or of all; and the resourceVersion to watch from."""
        page = self.page(resource, Filter(resource, namespace, labels, fields))
        return [stored.object for stored in page.items], str(page.version)

    def page(self, resource: Resource, which: Filter, *, limit: int = 0, version: int = 0, start: str = "") -> Page:
        """At most `limit` objects (0: all) as of `version` (0: now), from the key `start` on.

        ApiError 410 if the history does not reach back to that version.
        """
        table = self._tables[resource]
        before: dict[str, Stored | None] = {}
        keys: Sequence[str] = table.keys
        if not version or version >= self._version:
            version = self._version
        elif before := table.history.undone_to(version):
            absent = {key for key, stored in before.items() if stored is None}
            keys = sorted((table.objects.keys() | before.keys()) - absent)
        first, last = which.span(keys, start)
        items: list[Stored] = []
        for i in range(first, last):
            stored = before.get(keys[i]) or table.objects[keys[i]]
            if which.matches(stored):
                if limit and len(items) == limit:
                    return Page(items, version, keys[i], last - i)
                items.append(stored)
        return Page(items, version)

    def watching(self, resource: Resource, which: Filter, since: int | None) -> Watch:
        """A position in the changes: after the version `since`; None: all that exists comes first, as ADDED."""
        history = self._tables[resource].history
        if since is None:
            return Watch(history, which, history.end, self.page(resource, which).items)
        if since > self._version:
            raise errors.version_too_large(since, self._version)
        return Watch(history, which, history.position_after(since))

    async def watch(
        self,
        resource: Resource,
        since: str = "",
        *,
        namespace: str | None = None,
        labels: Selector | None = None,
        fields: FieldSelector | None = None,
    ) -> AsyncIterator[Event]:
        """What happens after the version `since`, for ever. "" or "0": all that exists comes first, as ADDED.

        ApiError 410 if the history does not reach back that far, at the start or because the reader was too slow.
        """
        which = Filter(resource, namespace, labels, fields)
        watch = self.watching(resource, which, int(since) if since not in ("", "0") else None)
        while True:
            for event in watch.ready():
                yield event
            await watch.wait(None)

    # --- writing ------------------------------------------------------------------------------------------------

    # All of these copy what they are given; fields that the kind has not are refused or, if a list `unknown` is given,
    # put there and left out. With `dry_run` everything is checked and answered, and nothing stored.

    def create(self, resource: Resource, obj: Object, *, dry_run: bool = False, unknown: Paths | None = None) -> Object:
        """Store a new object, as the API server would: with defaults, allocated addresses and ports, uid, version.

        ApiError: 400 (not this kind), 403 (the namespace is going away), 404 (no such namespace), 409 (exists), 422.
        """
        table = self._tables[resource]
        new = decoded(resource, obj, unknown=unknown)
        self._require_namespace(resource, new)
        new["metadata"].pop("resourceVersion", None)
        metadata.prepare_new(resource, new, self._now(), self._random)
        if resource.has_status and not table.admission.status_at_creation:
            new.pop("status", None)
        table.admission.prepare(new, None)
        name = new["metadata"].get("name", "")
        self._check(resource, new, None)
        key = _key(resource, new["metadata"].get("namespace", ""), name)
        if key in table.objects:
            raise errors.already_exists(resource, name)
        return self._write(resource, key, new, None, dry_run)

    def update(
        self,
        resource: Resource,
        obj: Object,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
        unknown: Paths | None = None,
    ) -> Object:
        """Replace an object (`subresource` "status": only its status). Its resourceVersion, if given, must be the last.

        Nothing is written, and the version stays, if nothing differs. ApiError: 400, 404, 409 (not the last), 422.
        """
        new = decoded(resource, obj, unknown=unknown, complete=subresource is None)
        given = new["metadata"]
        namespace = given.setdefault("namespace", "default") if resource.namespaced else ""
        stored = self.stored(resource, namespace, given.get("name", ""))
        old = stored.object
        if given.get("resourceVersion", "0") not in ("0", str(stored.version)):
            raise errors.modified(resource, given["name"])
        if given.get("uid") and given["uid"] != old["metadata"]["uid"]:
            raise errors.conflict(
                resource,
                given["name"],
                f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: "
                f"{old['metadata']['uid']}",
            )
        return self._update(resource, stored, new, subresource, dry_run)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        kind: patches.Kind = patches.Kind.MERGE,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
        unknown: Paths | None = None,
    ) -> Object:
        """Change parts of an object (see `lab.api.patches` for the kinds). ApiError as `update`."""
        stored = self.stored(resource, namespace, name)
        new = patches.apply(kind, resource.shape, stored.object, patch)
        patched = decoded(resource, new, unknown=unknown)
        _same_object(resource, patched, stored.object)
        wanted = patched["metadata"].get("resourceVersion", "")
        if wanted not in ("", str(stored.version)):
            raise errors.modified(resource, name)
        return self._update(resource, stored, patched, subresource, dry_run)

    def apply(
        self,
        resource: Resource,
        config: Object,
        *,
        manager: str,
        subresource: str | None = None,
        dry_run: bool = False,
        unknown: Paths | None = None,
    ) -> Object:
        """Create the object or merge this into it (see `lab.api.patches.applied`). ApiError as `create`, `update`."""
        wanted = decoded(resource, config, unknown=unknown, complete=False)
        wanted["metadata"].pop("managedFields", None)
        meta = wanted["metadata"]
        stored = self.find(resource, _key(resource, meta.setdefault("namespace", "default"), meta.get("name", "")))
        if not resource.namespaced:
            del meta["namespace"]
        if stored is None:
            new = self.create(resource, wanted, dry_run=dry_run)
        else:
            last = self._applied.get(stored.object["metadata"]["uid"], {}).get(manager, {})
            merged = decoded(resource, applied(resource.shape, stored.object, last, wanted))
            if meta.get("resourceVersion", str(stored.version)) != str(stored.version):
                raise errors.modified(resource, meta["name"])
            new = self._update(resource, stored, merged, subresource, dry_run)
        if not dry_run:
            self._applied.setdefault(new["metadata"]["uid"], {})[manager] = wanted
        return new

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        grace_seconds: int | None = None,
        propagation: str = "Background",
        uid: str = "",
        version: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Delete an object, or begin to: what has finalizers, and a pod that a node must stop first, only gets a
        deletionTimestamp. Returns its last state.

        `grace_seconds` is for Pods (None: as the pod says; 0: now, which is how a kubelet confirms). `propagation`
        tells what becomes of what it owns: Background, Foreground or Orphan. `uid` and `version` are preconditions.
        ApiError: 404, 409 (precondition).
        """
        stored = self.stored(resource, namespace, name)
        meta = stored.object["metadata"]
        if uid and uid != meta["uid"]:
            raise errors.conflict(
                resource, name, f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta['uid']}"
            )
        if version and version != meta["resourceVersion"]:
            raise errors.conflict(
                resource,
                name,
                f"Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: "
                f"{meta['resourceVersion']}",
            )
        if why_not := self._tables[resource].admission.why_not_deleted(stored.object):
            raise errors.forbidden(resource, name, why_not)
        finalizers = self._garbage.finalizers_for(resource, stored.object, propagation)
        grace = _grace(resource, stored.object, grace_seconds)
        if dry_run:
            return stored.object
        if not finalizers and not grace and not self._garbage.is_kept(resource, stored.object):
            return self._remove(resource, stored)
        self._mark_deleted(resource, stored, finalizers, grace)
        found = self._tables[resource].objects.get(stored.key)
        return found.object if found else stored.object

    def compact(self) -> None:
        """Forget all history, as etcd does now and then: watches and lists that would need it are answered 410."""
        for table in self._tables.values():
            table.history.forget()

    def settle(self, resource: Resource, key: str) -> None:
        """Remove an object that is to be deleted and that nothing keeps any more; anything else stays."""
        stored = self.find(resource, key)
        if stored and "deletionTimestamp" in stored.object["metadata"]:
            self._finish_deletion(resource, stored)

    def first_cluster_ip(self) -> str:
        """The first address of the first Service network: that of the Service ``kubernetes``."""
        networks = self.get(SERVICE_CIDRS, "", "kubernetes")["spec"]["cidrs"]
        return str(ipaddress.ip_network(networks[0])[1])

    # --- within -------------------------------------------------------------------------------------------------

    def _all_of(self, plural: str) -> Iterable[Object]:
        for resource, table in self._tables.items():
            if resource.plural == plural:
                return [stored.object for stored in table.objects.values()]
        return ()

    def _now(self, later: float = 0) -> str:
        return (self._clock() + timedelta(seconds=later)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _require_namespace(self, resource: Resource, obj: Object) -> None:
        if not resource.namespaced:
            if obj["metadata"].pop("namespace", ""):
                raise errors.bad_request("namespace must not be given for a kind that has none")
            return
        name = obj["metadata"].setdefault("namespace", "default")
        namespace = self.get(NAMESPACES, "", name)
        if namespace["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {name} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {name} is being terminated",
                "field": "metadata.namespace",
            }
            raise errors.forbidden(resource, obj["metadata"].get("name", ""), why, cause)

    def _check(self, resource: Resource, new: Object, old: Object | None) -> None:
        problems = [*metadata.validate(resource, new), *self._tables[resource].admission.validate(new, old)]
        if problems:
            raise errors.invalid_object(resource, new["metadata"].get("name", ""), problems)

    def _update(
        self, resource: Resource, stored: Stored, new: Object, subresource: str | None, dry_run: bool
    ) -> Object:
        old = stored.object
        metadata.prepare_update(resource, new, old)
        admission = self._tables[resource].admission
        if subresource == "status":
            new = old | {"metadata": new["metadata"], "status": new.get("status", {})}
            admission.prepare_status(new, old)
        else:
            if resource.has_status:
                new.pop("status", None)
                if "status" in old:
                    new["status"] = old["status"]
            admission.prepare(new, old)
        self._check(resource, new, old)
        metadata.count_generation(resource, new, old)
        return self._write(resource, stored.key, new, stored, dry_run)

    def _write(self, resource: Resource, key: str, new: Object, previous: Stored | None, dry_run: bool) -> Object:
        table = self._tables[resource]
        reservation, problems = table.admission.reserve(new, previous.object if previous else None)
        if problems:
            raise errors.invalid_object(resource, new["metadata"]["name"], list(problems))
        if previous:
            new["metadata"]["resourceVersion"] = str(previous.version)
        unchanged = previous is not None and new == previous.object
        if dry_run or unchanged:
            reservation.cancel()
            return previous.object if previous and unchanged else new
        reservation.keep()
        self._version += 1
        new["metadata"]["resourceVersion"] = str(self._version)
        stored = Stored(key, self._version, new)
        if previous is None:
            bisect.insort(table.keys, key)
        table.objects[key] = stored
        self._tell(resource, Change("MODIFIED" if previous else "ADDED", stored, previous))
        if resource.most and len(table.objects) > resource.most:
            self._remove(resource, next(iter(table.objects.values())))
        if previous and new["metadata"].get("deletionTimestamp"):
            self._finish_deletion(resource, stored)
        return new

    def _finish_deletion(self, resource: Resource, stored: Stored) -> None:
        """An object that is only kept by its finalizers goes when the last one is taken off."""
        meta = stored.object["metadata"]
        if (
            self._tables[resource].objects.get(stored.key) is stored
            and not meta.get("finalizers")
            and not meta.get("deletionGracePeriodSeconds")
            and not self._garbage.is_kept(resource, stored.object)
        ):
            self._remove(resource, stored)

    def _mark_deleted(self, resource: Resource, stored: Stored, finalizers: Sequence[str], grace: int) -> None:
        old = stored.object
        meta = copied(old["metadata"])
        pending = meta.get("deletionGracePeriodSeconds")
        if "deletionTimestamp" not in meta or (pending is not None and grace < pending):
            meta["deletionTimestamp"] = self._now(grace)
            meta["deletionGracePeriodSeconds"] = grace
        if finalizers:
            meta["finalizers"] = [*finalizers]
        new = old | {"metadata": meta}
        if resource is NAMESPACES:
            new["status"] = old.get("status", {}) | {"phase": "Terminating"}
        self._write(resource, stored.key, new, stored, False)

    def _remove(self, resource: Resource, stored: Stored) -> Object:
        table = self._tables[resource]
        self._version += 1
        gone = stored.at_version(self._version)
        del table.objects[stored.key]
        del table.keys[bisect.bisect_left(table.keys, stored.key)]
        table.admission.released(stored.object)
        self._applied.pop(stored.object["metadata"]["uid"], None)
        self._tell(resource, Change("DELETED", gone, stored))
        return gone.object

    def _tell(self, resource: Resource, change: Change) -> None:
        self._tables[resource].history.append(change)
        self._garbage.follow(resource, change)


def _at_once(work: Callable[[], None]) -> None:
    work()


def _key(resource: Resource, namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if resource.namespaced else name


def _same_object(resource: Resource, new: Object, old: Object) -> None:
    for field in ("name", "namespace"):
        if new["metadata"].get(field) != old["metadata"].get(field):
            raise errors.bad_request(
                f"the {field} of the object ({new['metadata'].get(field)}) does not match the {field} on the URL "
                f"({old['metadata'].get(field)})"
            )


def _grace(resource: Resource, obj: Object, asked: int | None) -> int:
    """How many seconds a deletion waits for the node. Only Pods that a node runs wait at all."""
    if resource is not PODS:
        return 0
    spec = obj.get("spec", {})
    if not spec.get("nodeName") or obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    return int(spec.get("terminationGracePeriodSeconds", 30)) if asked is None else max(asked, 0)
