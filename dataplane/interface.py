"""What every dataplane can do, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dataplane.table import Family, ForwardingTable, FrontendKey, Pick


class DataplaneError(Exception):
    """The kernel (or the engine) refused. The message is one line: what was tried, on what, what came back."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What one `apply` did."""

    full: bool  #: everything was written, not only the changes
    operations: int  #: elements, rules, chains and sets written or removed; 0 if there was nothing to do
    seconds: float
    unfinished: str = ""  #: what has to wait, in one line: the next apply tries again, and should come soon
    flows_forgotten: Mapping[Family, int] = field(default_factory=dict)  #: that went where nobody serves any more
    forgetting_seconds: float | None = None  #: how long those were looked for; None if they need not be
    cleanup_failed: bool = False  #: what nobody needs any more could not be deleted, and waits


@dataclass(frozen=True, slots=True)
class Drift:
    """How the kernel's state differs from the table last applied. Both empty: it is as it should be."""

    missing: tuple[str, ...] = ()  #: objects that should be there, in words
    foreign: tuple[str, ...] = ()  #: objects of ours that should not be there, in words

    def __bool__(self) -> bool:
        return bool(self.missing or self.foreign)


class Dataplane(Protocol):
    """Carries out ForwardingTables. Used by one thread at a time."""

    @property
    def picks(self) -> frozenset[Pick]:
        """The ways to pick that it knows; to be asked for no other. Weights it always knows."""

    def apply(self, table: ForwardingTable) -> Applied:
        """Make packets go where the table says: all or nothing, and only what changed since the last time.

        Raises DataplaneError, and then the old state is whole and the next call writes everything. What is no part of
        the rules (old flows, remembered clients, what is empty and could be deleted) raises nothing: see
        `Applied.unfinished`.
        """

    def audit(self) -> Drift:
        """Compare what is really programmed with the table last applied. Any drift makes the next apply full."""

    def tampered(self) -> bool:
        """Whether somebody else may have changed what is programmed since the last call. Cheap; `audit` knows more."""

    def cleanup(self) -> None:
        """Remove everything of ours; nothing else. Nothing there is fine."""

    def where(self, key: FrontendKey) -> str:
        """The rules, chains or elements that serve this frontend, as text for people. KeyError if none."""
