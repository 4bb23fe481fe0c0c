"""Why the engine did what it did, in the words of the reference.

The engine says which question decided and what chance gave. The reference is asked the same questions about the same
packet, is told what chance gave, and answers in words: so there is one place for words, and two dataplanes that must
agree before anything is said.
"""

from __future__ import annotations

from dataplane.reference import Choose, Outcome, Packet, Remembered, State, decide
from dataplane.steps import Rule, Step
from dataplane.table import Affinity, Endpoint, Family, Forward, ForwardingTable, Pick, Protocol
from dataplane.userspace.batch import Link
from dataplane.userspace.image import Host, unpacked
from dataplane.userspace.result import Result
from native.library import ffi, lib

_PROTOCOLS = {protocol.number: protocol for protocol in Protocol}


def packet_of(data: bytes, link: Link, interface: str | None) -> Packet | None:
    """The parts of a packet that decide its way; None if it has no ports or cannot be read."""
    view = ffi.new("struct packet *")
    memory = ffi.from_buffer("uint8_t[]", bytearray(data), require_writable=True)
    lib.packet_parse(view, memory, len(data), link)
    found = view.tuple
    if view.kind != lib.PACKET_TRANSPORT:
        return None
    family = Family(found.family)
    # A port is a number in network byte order, whatever this machine's is.
    ports = bytes(ffi.buffer(ffi.addressof(found, "source_port"), 4))
    source, destination = int.from_bytes(ports[:2], "big"), int.from_bytes(ports[2:], "big")
    return Packet(
        Endpoint(unpacked(bytes(found.source.bytes), family), source),
        Endpoint(unpacked(bytes(found.destination.bytes), family), destination),
        _PROTOCOLS[found.protocol],
        interface,
    )


def steps(
    table: ForwardingTable,
    host: Host,
    packet: Packet | None,
    result: Result,
    now: float,
    pick: Pick = Pick.RANDOM,
) -> tuple[Step, ...]:
    """The questions that were asked about a packet, and the answers. Empty if none was, or it has no ports.

    `packet` is the packet as it came in; `table`, `host`, `now` and `pick` are what the engine had.
    """
    if packet is None:
        return ()
    dropped = None
    if result.reason is not None:
        dropped = Step(result.rule or Rule.FLOW, str(packet), f"It is dropped: {result.reason.value}.")
    if result.rule is Rule.FLOW and result.frontend is None:
        known = Step(Rule.FLOW, str(packet), "Yes: it is treated as the connection's first packet was.")
        return (known, dropped) if dropped else (known,)
    decision = decide(table, packet, _state(host, packet, result, now, pick), _chosen(result))
    if dropped is None or decision.outcome is not Outcome.FORWARD:
        return decision.steps
    # What the reference leaves to others: connections in progress, and the limits of the engine.
    asked = decision.steps if result.backend else tuple(s for s in decision.steps if s.rule in _BEFORE_PICK)
    return (*asked, dropped)


_ELSEWHERE = Endpoint("", 0)  #: in no pool

_BEFORE_PICK = frozenset({Rule.FRONTEND, Rule.SOURCES, Rule.CLIENT, Rule.VERDICT})


def _state(host: Host, packet: Packet, result: Result, now: float, pick: Pick) -> State:
    """What the node knew, as far as it can be told from what it did."""
    affinity = {}
    memory = _affinity(result)
    if memory is not None and result.backend is not None and (result.remembered or result.elsewhere):
        where = result.backend.endpoint if result.remembered else _ELSEWHERE
        affinity[memory.name, packet.source.address] = Remembered(where, now + memory.seconds)
    return State(host.addresses, host.egress, now, affinity, pick=pick)


def _affinity(result: Result) -> Affinity | None:
    """The memory that was asked for a backend, if one was."""
    if result.frontend is None or result.client is None:
        return None
    verdict = result.frontend.verdict(result.client)
    return verdict.pool.affinity if isinstance(verdict, Forward) else None


def _chosen(result: Result) -> Choose:
    """Chance, as it was: where in the pool the backend is."""

    def choose(count: int) -> int:
        if result.frontend is None or result.client is None or result.backend is None:
            return 0  # it was dropped before anything was picked, and what would have been is not told
        verdict = result.frontend.verdict(result.client)
        if not isinstance(verdict, Forward) or len(verdict.pool.drawn) != count:
            raise AssertionError(f"the engine and the reference disagree about {result}")
        return verdict.pool.drawn.index(result.backend)

    return choose
