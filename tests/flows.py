"""Connections through a table, as the reference decides them: words for asking who is reached, and as whom.

answers = ask(table, "x1", CLUSTER_IP, 80)
assert answers.pods == {"b1", "b3"}
assert answers.seen_as == {"n1"}
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from cluster import NAMES, NODES, address, state
from dataplane.reference import Decision, Outcome, Packet, State, decide
from dataplane.table import Endpoint, Family, ForwardingTable, Protocol

_ports = count(40000)


@dataclass(frozen=True)
class Answers:
    """Everything that can happen to one new connection.

    `pods` are those that may answer, `seen_as` whom they would see, both by name where they have one.
    """

    decisions: tuple[Decision, ...]

    @property
    def outcomes(self) -> set[Outcome]:
        return {d.outcome for d in self.decisions}

    @property
    def pods(self) -> set[str]:
        found = {d.backend.address for d in self.decisions if d.backend}
        return {NAMES.get(backend, backend) for backend in found}

    @property
    def seen_as(self) -> set[str]:
        found = {d.packet.source.address for d in self.decisions if d.outcome is Outcome.FORWARD}
        return {NAMES.get(source, source) for source in found}

    @property
    def forwarded(self) -> bool:
        return self.outcomes == {Outcome.FORWARD}

    @property
    def rejected(self) -> bool:
        return self.outcomes == {Outcome.REJECT}

    @property
    def dropped(self) -> bool:
        return self.outcomes == {Outcome.DROP}

    @property
    def passed(self) -> bool:
        return self.outcomes == {Outcome.PASS}


def packet(
    client: str, destination: str, port: int, protocol: str = "TCP", *, source_port: int = 0, interface: str | None = ""
) -> Packet:
    """The first packet of a connection, as this node meets it. A new source port unless one is given.

    `interface` is where it comes in: unless told, pods have one of their own, and so has the outside.
    """
    if interface == "":
        interface = None if client == "n1" else f"pod-{client}" if client in NODES else "eth0"
    source = Endpoint(address(client, Family.of(destination)), source_port or next(_ports))
    return Packet(source, Endpoint(destination, port), Protocol(protocol), interface)


def every_decision(table: ForwardingTable, sent: Packet, known: State) -> tuple[Decision, ...]:
    """The decision for each number that chance could give."""
    asked: list[int] = []

    def first(n: int) -> int:
        asked.append(n)
        return 0

    decisions = [decide(table, sent, known, first)]
    for index in range(1, asked[0] if asked else 1):
        decisions.append(decide(table, sent, known, lambda n, index=index: index))  # type: ignore[misc]
    return tuple(decisions)


def ask(
    table: ForwardingTable,
    client: str,
    destination: str,
    port: int,
    protocol: str = "TCP",
    *,
    known: State | None = None,
    interface: str | None = "",
) -> Answers:
    """What can happen when `client` (a machine's name, or an address) opens a connection."""
    sent = packet(client, destination, port, protocol, interface=interface)
    return Answers(every_decision(table, sent, known or state()))
