"""Events: what controllers tell people, as `kubectl describe` and `kubectl get events` show it.

News, not state: one that cannot be stored is lost, old ones are forgotten, and nothing depends on them. The same news
about the same object again only raises a count.
"""

from __future__ import annotations

import contextlib

from lab.api.errors import ApiError, Object
from lab.api.registry import CORE_EVENTS, Resource
from lab.api.store import Store
from lab.controllers.objects import Clock, Key, key_of, text_of

REMEMBERED = 1000  #: events kept for all objects together

NORMAL, WARNING = "Normal", "Warning"


class EventRecorder:
    """Writes events in the name of one component (``deployment-controller``)."""

    def __init__(self, store: Store, clock: Clock, component: str) -> None:
        self._store = store
        self._clock = clock
        self._component = component
        self._known: dict[tuple[str, ...], Key] = {}  # what was told → the event, the latest last

    def record(self, resource: Resource, obj: Object, kind: str, reason: str, message: str) -> None:
        """Tell that this (`kind`: Normal or Warning) has happened to this object."""
        told = (obj["metadata"]["uid"], kind, reason, message)
        with contextlib.suppress(ApiError):  # the namespace may be going away
            if not self._count(told):
                event = self._new(resource, obj, kind, reason, message)
                self._known[told] = key_of(self._store.create(CORE_EVENTS, event))
        while len(self._known) > REMEMBERED:
            oldest = self._known.pop(next(iter(self._known)))
            with contextlib.suppress(ApiError):
                self._store.delete(CORE_EVENTS, *oldest)

    def _count(self, told: tuple[str, ...]) -> bool:
        """Raise the count of an event that says this already. False if there is none."""
        key = self._known.pop(told, None)
        if key is None:
            return False
        try:
            event = self._store.get(CORE_EVENTS, *key)
        except ApiError:
            return False
        again = {"count": int(event.get("count") or 1) + 1, "lastTimestamp": text_of(self._clock())}
        self._store.update(CORE_EVENTS, event | again)
        self._known[told] = key
        return True

    def _new(self, resource: Resource, obj: Object, kind: str, reason: str, message: str) -> Object:
        metadata = obj["metadata"]
        now = text_of(self._clock())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                # Lists are in the order of names: this makes it the order of what happened.
                "name": f"{metadata['name']}.{self._store.version:016x}",
                "namespace": metadata.get("namespace") or "default",
            },
            "involvedObject": {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            }
            | ({"namespace": metadata["namespace"]} if metadata.get("namespace") else {}),
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
