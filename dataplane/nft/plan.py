"""What must change in one family's table: the difference between two rulesets, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dataplane.nft.elements import Element
from dataplane.nft.objects import Chain, Set
from dataplane.table import Endpoint


class Relocation(NamedTuple):
    """A map of session affinity in which some entries belong no longer."""

    port: int  #: of every backend in it
    places: Mapping[Endpoint, str]  #: the map where entries of each backend belong now; those of others are forgotten
    has_known: bool  #: beside each map stands a set of its keys
    timeout: int  #: seconds, of this map
    timeout_there: int  #: seconds, of the maps where they belong


@dataclass(slots=True)
class Plan:
    """Written by `Ruleset.update`. Chains and sets by name; elements by the name of their set."""

    new_sets: dict[str, Set] = field(default_factory=dict)
    changed_sets: dict[str, Set] = field(default_factory=dict)  #: affinity maps whose timeout is another now
    gone_sets: dict[str, Set] = field(default_factory=dict)
    new_chains: dict[str, Chain] = field(default_factory=dict)
    changed_chains: dict[str, Chain] = field(default_factory=dict)
    rebound_chains: dict[str, Chain] = field(default_factory=dict)  #: those whose rules name changed sets
    gone_chains: dict[str, Chain] = field(default_factory=dict)
    removed: dict[str, list[Element]] = field(default_factory=dict)
    added: dict[str, list[Element]] = field(default_factory=dict)
    relocations: dict[str, Relocation] = field(default_factory=dict)

    def add(self, name: str, elements: list[Element]) -> None:
        if elements:
            self.added.setdefault(name, []).extend(elements)

    def remove(self, name: str, elements: list[Element]) -> None:
        if elements:
            self.removed.setdefault(name, []).extend(elements)

    def __bool__(self) -> bool:
        return bool(
            self.new_sets
            or self.changed_sets
            or self.gone_sets
            or self.new_chains
            or self.changed_chains
            or self.gone_chains
            or self.removed
            or self.added
        )
