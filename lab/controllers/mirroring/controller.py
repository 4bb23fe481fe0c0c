"""Keeps the slices that mirror Endpoints made by hand."""

from __future__ import annotations

from collections.abc import Iterable

from lab.api.registry import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from lab.api.store import Store
from lab.controllers.collection import Change
from lab.controllers.endpointslice.controller import carry_out, service_of_slice
from lab.controllers.endpointslice.plan import LABEL_MANAGED_BY, Plan
from lab.controllers.mirroring.slices import MANAGED_BY, is_mirrored, mirrored_slices
from lab.controllers.objects import Key, key_of, labels_of
from lab.controllers.view import View


class MirroringController:
    """One key: one Service, and the Endpoints of the same name."""

    name = "endpointslicemirroring"

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def concerned(self, change: Change) -> Iterable[Key]:
        if change.resource in (SERVICES, ENDPOINTS):
            return [key_of(change.object)]
        if change.resource is ENDPOINT_SLICES:
            return service_of_slice(change, MANAGED_BY)
        return ()

    def reconcile(self, key: Key) -> None:
        endpoints = self._view.endpoints.get(key)
        slices = self._view.endpoint_slices.where("service", key)
        existing = [s for s in slices if labels_of(s).get(LABEL_MANAGED_BY) == MANAGED_BY]
        if endpoints is not None and is_mirrored(endpoints, self._view.services.get(key)):
            carry_out(self._store, mirrored_slices(endpoints, existing))
        else:
            carry_out(self._store, Plan(delete=tuple(existing)))
