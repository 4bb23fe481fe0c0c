"""What became of the packets that a dataplane itself handles, where it is not the kernel that does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PortPackets:
    """One way for packets in and out. `outcomes` sum up to all that were received."""

    name: str
    outcomes: Mapping[str, int]
    bytes: int
    missed: int  #: never received, because there was no room to wait
    errors: int  #: system calls that failed


@dataclass(frozen=True, slots=True)
class Packets:
    """Since the ports were made. `drops`: packets by why they were dropped, in a word. `xdp`: what became of those that
    AF_XDP brings, besides, in words; empty if it brings none."""

    ports: tuple[PortPackets, ...]
    drops: Mapping[str, int]
    flows: int  #: that are known now
    flows_limit: int  #: that there is room for
    flows_evicted: int  #: given up for new ones, as there was no room
    xdp: Mapping[str, int] = field(default_factory=dict)
    clients_refused: int = 0  #: served and not remembered for affinity, as there was no room
    pools_without_maglev: int = 0  #: that ask for Maglev, and are picked from at random for want of a table


class PacketSource(Protocol):
    """Handles packets. May be asked by any thread."""

    def packets(self) -> Packets | None:
        """None while it handles none."""
