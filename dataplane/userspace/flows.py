"""Flows and what they count, as Python sees them."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dataplane.table import Endpoint, Protocol


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
