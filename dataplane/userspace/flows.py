"""Flows and what they count, as Python sees them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from dataplane.reference import Outcome
from dataplane.table import Endpoint, FrontendKey, Protocol
from dataplane.userspace.result import Reason


class Phase(enum.Enum):
    """How far a flow has come (native/tracking.h, in its order). Its timeout depends on it."""

    UDP_UNREPLIED = "unreplied"
    UDP_STREAM = "stream"
    OPENING = "opening"
    ESTABLISHED = "established"
    CLOSING = "closing"


PHASES = tuple(Phase)


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow: what arrives from the client, and what its answers look like when they arrive from the backend.

    `expires` is on the clock of the packets, in seconds. `packets` counts those from the client and to it.
    """

    protocol: Protocol
    client: Endpoint
    service: Endpoint  #: what the client connects to
    backend: Endpoint
    seen_as: Endpoint  #: whom the backend sees: the client, or this node when the flow is masqueraded
    phase: Phase
    expires: float
    packets: tuple[int, int]
    masquerade: bool
    hairpin: bool
    node_port: bool = False  #: it came in by a NodePort

    @property
    def frontend(self) -> FrontendKey:
        """Where it came in."""
        return FrontendKey.of(self.service, self.protocol, node_port=self.node_port)

    def __str__(self) -> str:
        seen_as = f" as {self.seen_as}" if self.seen_as != self.client else ""
        return f"{self.protocol} {self.client} → {self.service} → {self.backend}{seen_as}, {self.phase.value}"


@dataclass(frozen=True, slots=True)
class Tally:
    """What went through one backend of one Service, to it and from it. Bytes are those of IP packets."""

    connections: int
    active: int
    packets_to: int
    packets_from: int
    bytes_to: int
    bytes_from: int


@dataclass(frozen=True, slots=True)
class Counters:
    """What went in, and what became of it: `packets` is the sum of `outcomes`, the drops that of `reasons`.

    `answers` counts the rejected packets whose sender was told, `withheld` those whose sender was not, as there were
    too many answers. `flows`, `clients` and `held` count flows, clients with affinity and fragments that waited, by
    what became of them (native/flow.h, native/affinity.h, native/held.h).
    """

    packets: int
    bytes: int
    answers: int
    withheld: int
    outcomes: Mapping[Outcome, int]
    reasons: Mapping[Reason, int]
    flows: Mapping[str, int]
    clients: Mapping[str, int]
    held: Mapping[str, int]
