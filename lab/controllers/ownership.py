"""Which objects belong to an owner that selects by labels.

An object has at most one controller. An owner adopts what matches its selector and has none, and lets go of what it
controls but does not match any more (that is how people take a pod out of its ReplicaSet to look at it).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.api.errors import Object
from lab.api.selectors import Selector
from lab.controllers.objects import controller_of, is_controlled_by, is_going, with_metadata


@dataclass(frozen=True, slots=True)
class Claims:
    """What an owner has, what it shall be given, and what shall be taken from it."""

    owned: tuple[Object, ...]
    adopt: tuple[Object, ...]
    release: tuple[Object, ...]


def claims(owner: Object, candidates: Iterable[Object]) -> Claims:
    """Sort the candidates, which are those it controls and those of its namespace that nobody controls."""
    selector = Selector.of_object(owner["spec"]["selector"])
    owned: list[Object] = []
    adopt: list[Object] = []
    release: list[Object] = []
    for obj in candidates:
        matches = selector.matches_object(obj)
        if is_controlled_by(obj, owner):
            (owned if matches else release).append(obj)
        elif matches and controller_of(obj) is None and not is_going(obj) and not is_going(owner):
            adopt.append(obj)
    return Claims(tuple(owned), tuple(adopt), tuple(release))


def adopted(obj: Object, reference: Object) -> Object:
    """The object with a controller."""
    return with_metadata(obj, ownerReferences=[*(obj["metadata"].get("ownerReferences") or ()), reference])


def released(obj: Object, owner: Object) -> Object:
    """The object without this owner."""
    uid = owner["metadata"]["uid"]
    kept = [r for r in obj["metadata"].get("ownerReferences") or () if r.get("uid") != uid]
    return with_metadata(obj, ownerReferences=kept or None)
