"""The steps between a decoded object and a stored one. A kind with nothing particular uses `Admission` as it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lab.api.errors import FieldError, Object


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What admission may know of the cluster around the object."""

    list_objects: Callable[[str], Iterable[Object]]  #: all objects of a kind, by its plural
    node_ports: range
    random: random.Random


class Reservation:
    """Numbers and addresses taken for an object that is not stored yet. This one took nothing."""

    def keep(self) -> None:
        """The object is stored: make it final, and give back what the object no longer has."""

    def cancel(self) -> None:
        """The object is not stored after all: give everything back."""


class Admission:
    """One store's rules for one kind. Objects handed in are private to the caller and may be written."""

    status_at_creation = False  #: whether a new object may bring its status along

    def __init__(self, around: Surroundings) -> None:
        self.around = around

    def prepare(self, obj: Object, old: Object | None) -> None:
        """Fill in defaults. `old` is the stored object on an update."""

    def validate(self, obj: Object, old: Object | None) -> Iterable[FieldError]:
        """Everything that is wrong with it."""
        return ()

    def prepare_status(self, obj: Object, old: Object) -> None:
        """Fill in what an update of the status may leave out."""

    def reserve(self, obj: Object, old: Object | None) -> tuple[Reservation, Iterable[FieldError]]:
        """Allocate numbers and write them into the object. With errors, nothing stays reserved."""
        return Reservation(), ()

    def why_not_deleted(self, obj: Object) -> str:
        """The reason why it may not be deleted; empty if it may."""
        return ""

    def released(self, obj: Object) -> None:
        """The object is gone."""
