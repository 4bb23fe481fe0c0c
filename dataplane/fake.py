"""A dataplane without a kernel, for tests: it remembers what it was told and decides as the reference does."""

from __future__ import annotations

import random
import time

from dataplane.changes import Changes
from dataplane.interface import Applied, DataplaneError, Drift
from dataplane.reference import Decision, Packet, State, decide
from dataplane.table import Drop, Forward, ForwardingTable, Frontend, FrontendKey, Pick, Verdict


class FakeDataplane:
    """Reads like a notebook: `tables` and `changes` hold every apply that worked, in order.

    `failures` makes the next that many applies fail, as a kernel would: nothing changes, the next one is full.
    `drift` is what `audit` answers; tests set it to play someone who tampers. `unfinished` is what applies say so.
    """

    def __init__(self, state: State | None = None, seed: int = 0) -> None:
        self.state = state or State()
        self.tables: list[ForwardingTable] = []
        self.changes: list[Changes] = []
        self.failures = 0
        self.drift = Drift()
        self.unfinished = ""
        self._programmed = ForwardingTable()
        self._full = True
        self._choose = random.Random(seed).randrange

    @property
    def table(self) -> ForwardingTable:
        """What is in force: the last table that was applied."""
        return self._programmed

    @property
    def picks(self) -> frozenset[Pick]:
        return frozenset(Pick)

    def apply(self, table: ForwardingTable) -> Applied:
        started = time.monotonic()
        full = self._full
        if self.failures:
            self.failures -= 1
            self._full = True
            raise DataplaneError("the fake was told to fail")
        changes = Changes.between(ForwardingTable() if full else self._programmed, table)
        self._programmed, self._full, self.drift = table, False, Drift()
        self.state = self.state.settled(table)
        self.tables.append(table)
        self.changes.append(changes)
        return Applied(full, len(changes.frontends), time.monotonic() - started, self.unfinished)

    def audit(self) -> Drift:
        self._full = self._full or bool(self.drift)
        return self.drift

    def tampered(self) -> bool:
        return bool(self.drift)

    def cleanup(self) -> None:
        self._programmed, self._full = ForwardingTable(), True

    def where(self, key: FrontendKey) -> str:
        return describe(self._programmed.frontends[key])

    def send(self, packet: Packet) -> Decision:
        """One packet through the table in force; affinity and flows are remembered."""
        decision = decide(self._programmed, packet, self.state, self._choose)
        self.state = self.state.after(packet, decision)
        return decision

    def dump(self) -> str:
        """The table in force as lines of text, sorted: easy to compare in a test."""
        return "\n".join(sorted(describe(f) for f in self._programmed.frontends.values()))


def describe(frontend: Frontend) -> str:
    """One frontend in one line: ``10.96.0.10:80/TCP default/web  pod → 10.244.1.5:8080; others masqueraded → ...``"""
    told: dict[str, list[str]] = {}
    for who, verdict in zip(("pod", "node", "outside"), frontend.verdicts, strict=True):
        told.setdefault(_verdict(verdict), []).append(who)
    verdicts = "; ".join(f"{','.join(who)} {what}" for what, who in told.items())
    limit = f" from {','.join(frontend.sources)}" if frontend.sources is not None else ""
    return f"{frontend.key} {frontend.service}{limit}: {verdicts}"


def _verdict(verdict: Verdict) -> str:
    if isinstance(verdict, Forward):
        backends = " ".join(map(str, verdict.pool.backends))
        return f"→ {backends}{' masqueraded' if verdict.masquerade else ''}"
    return "dropped" if isinstance(verdict, Drop) else "rejected"
