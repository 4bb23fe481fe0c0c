"""Dividing endpoints among slices so that little is written.

Every write of a slice goes to every node, so what counts is the number of slices that change, not how full they
are. Endpoints stay where they are. New ones go first into slices that change anyway, then, if one slice that has not
changed can take all that remain, into that one, and else into new slices. Slices are never merged, so a few
may stay half empty: that is the price, and the same one that a real cluster pays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.api.errors import Object
from lab.controllers.endpointslice.endpoint import identity


@dataclass(slots=True)
class Packing:
    """What becomes of the slices; one that is not named here stays as it is."""

    updated: list[tuple[Object, list[Object]]] = field(default_factory=list)  #: slices and their new endpoints
    created: list[list[Object]] = field(default_factory=list)  #: the endpoints of each new slice
    deleted: list[Object] = field(default_factory=list)


def pack(
    endpoints: Sequence[Object],
    existing: Sequence[Object],
    limit: int,
    is_outdated: Callable[[Object], bool] = lambda _: False,
) -> Packing:
    """Put `endpoints` into the `existing` slices, at most `limit` in each.

    `is_outdated` tells slices that must be written for another reason (their labels).
    """
    waiting = {identity(endpoint): endpoint for endpoint in endpoints}
    packing = Packing()
    changed: list[tuple[Object, list[Object]]] = []
    unchanged: list[Object] = []
    for held in existing:
        stay = [waiting.pop(i) for i in map(identity, _endpoints(held)[:limit]) if i in waiting]
        if not stay and _endpoints(held):
            packing.deleted.append(held)
        elif stay != _endpoints(held) or is_outdated(held):
            changed.append((held, stay))
        else:
            unchanged.append(held)

    new = list(waiting.values())
    for _, members in sorted(changed, key=lambda entry: -len(entry[1])):  # the fullest first
        room = limit - len(members)
        members += new[:room]
        new = new[room:]
    while new:
        roomy = [s for s in unchanged if len(_endpoints(s)) + len(new) <= limit]
        if roomy:
            fullest = max(roomy, key=lambda s: len(_endpoints(s)))
            unchanged.remove(fullest)
            changed.append((fullest, _endpoints(fullest) + new))
            break
        packing.created.append(new[:limit])
        new = new[limit:]
    packing.updated = changed
    return packing


def _endpoints(endpoint_slice: Object) -> list[Object]:
    return list(endpoint_slice.get("endpoints") or ())
