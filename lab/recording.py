"""Objects that were taken out of a running cluster (``kubectl get -o yaml``) and are put into one on paper.

A uid tells that an API server has seen an object. Two things of such objects must survive the move: who owns whom,
which they say by uids that nobody knows here, and their EndpointSlices, which are the truth about that cluster and
are not for the controllers on paper to rewrite.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from controller.objects import LABEL_SERVICE_NAME
from lab.api.errors import Object
from lab.api.registry import ENDPOINT_SLICES, Resource
from lab.controllers.objects import Key, key_of, labels_of


def is_recorded(obj: Object) -> bool:
    """Whether an API server has stored this object before."""
    return bool(obj["metadata"].get("uid"))


def without_owners(obj: Object) -> Object:
    """The object alone. An API server collects, as garbage, what names owners that it does not have."""
    return obj | {"metadata": {k: v for k, v in obj["metadata"].items() if k != "ownerReferences"}}


class Recording:
    """What was given, and how it is stored here."""

    def __init__(self) -> None:
        self._uids: dict[str, str] = {}  # of the cluster that was recorded → of this one
        self._owned: list[tuple[Resource, Key, list[Object]]] = []
        self._slices: dict[tuple[str, str], list[Object]] = {}  # all that were given, by Service
        self._recorded: set[tuple[str, str]] = set()  # Services of which a slice is recorded

    def note(self, resource: Resource, given: Object, stored: Object) -> None:
        """An object was given, and became this."""
        if resource is ENDPOINT_SLICES:
            self._slices.setdefault(_service_of(stored), []).append(stored)
            if is_recorded(given):
                self._recorded.add(_service_of(stored))
        if is_recorded(given):
            self._uids[given["metadata"]["uid"]] = stored["metadata"]["uid"]
            self._owned.append((resource, key_of(stored), given["metadata"].get("ownerReferences") or []))

    def owners(self) -> Iterator[tuple[Resource, Key, list[Object]]]:
        """For each object whose owners are here too: references to them. To be asked when all objects are noted."""
        for resource, key, references in self._owned:
            here = [r | {"uid": self._uids[r["uid"]]} for r in references if r["uid"] in self._uids]
            if here:
                yield resource, key, here

    def endpoint_slices(self, found: Iterable[Object], unready: Container[Key]) -> list[Object]:
        """The slices that count, of all that are `found` in the end: where one was recorded, those that were given.

        In these, the pods `unready` are imagined not to be ready.
        """
        own = [piece for piece in found if _service_of(piece) not in self._recorded]
        given = [piece for service in sorted(self._recorded) for piece in self._slices[service]]
        return own + [piece | {"endpoints": [_seen(e, piece, unready) for e in piece["endpoints"]]} for piece in given]


def not_ready(pod: Object) -> Object:
    """The same pod with a readiness probe that fails."""
    status = pod["status"]
    conditions = [c | {"status": "False"} if c["type"] == "Ready" else c for c in status.get("conditions") or ()]
    return pod | {"status": status | {"conditions": conditions}}


def _seen(endpoint: Object, piece: Object, unready: Container[Key]) -> Object:
    target = endpoint.get("targetRef") or {}
    if target.get("kind") != "Pod" or Key(piece["metadata"]["namespace"], target.get("name", "")) not in unready:
        return endpoint
    return endpoint | {"conditions": (endpoint.get("conditions") or {}) | {"ready": False, "serving": False}}


def _service_of(piece: Object) -> tuple[str, str]:
    return piece["metadata"]["namespace"], labels_of(piece).get(LABEL_SERVICE_NAME, "")
