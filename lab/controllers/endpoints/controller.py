"""Keeps the Endpoints object of every Service that has a selector."""

from __future__ import annotations

from collections.abc import Iterable

from lab.api.registry import ENDPOINTS, PODS, SERVICES
from lab.api.store import Store
from lab.controllers.collection import Change
from lab.controllers.endpoints.subsets import endpoints_for
from lab.controllers.endpointslice.controller import services_of_pods
from lab.controllers.endpointslice.desired import selects
from lab.controllers.endpointslice.trigger_time import TriggerTimes
from lab.controllers.objects import Key, key_of
from lab.controllers.view import View


class EndpointsController:
    """One key: one Service, and the Endpoints of the same name. They go when the Service goes, whoever made them."""

    name = "endpoints"

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view
        self._told: dict[Key, TriggerTimes] = {}

    def concerned(self, change: Change) -> Iterable[Key]:
        if change.resource is SERVICES or (change.resource is ENDPOINTS and self._has_selector(change)):
            return [key_of(change.object)]
        if change.resource is PODS:
            return services_of_pods(self._view, change)
        return ()

    def reconcile(self, key: Key) -> None:
        service = self._view.services.get(key)
        existing = self._view.endpoints.get(key)
        if service is None:
            self._told.pop(key, None)
            if existing:
                self._store.delete(ENDPOINTS, *key)
            return
        if not selects(service):
            return
        pods = self._view.pods_with(key.namespace, service["spec"]["selector"])
        changed = self._told.setdefault(key, TriggerTimes()).next(service, pods)
        wanted = endpoints_for(service, pods, existing, trigger_time=changed)
        if wanted is None:
            return
        if existing:
            self._store.update(ENDPOINTS, wanted)
        else:
            self._store.create(ENDPOINTS, wanted)

    def _has_selector(self, change: Change) -> bool:
        service = self._view.services.get(key_of(change.object))
        return service is not None and selects(service)
