"""What a client notices of a decision: who answers, whether the answer finds its way back, which error a refusal is.

`decide` says what n1 does with a packet; this is about everything around n1.
"""

from __future__ import annotations

from collections.abc import Iterable

from conformance.cases import Probe
from conformance.observed import Observed
from conformance.setting import INTERFACE_ADDRESSES, NAMES, NODE_OF, SERVERS, address_of
from dataplane.reference import Decision, Outcome, Packet, State
from dataplane.table import Endpoint, Family, Protocol
from lab.network.network import pod_interface


def fresh_state() -> State:
    """What n1 knows before anybody has said anything."""
    return State(frozenset(INTERFACE_ADDRESSES), {family: address_of("n1", family) for family in Family})


def first_packet(probe: Probe, source_port: int) -> Packet:
    """What n1 meets first of a probe's connection. `source_port` counts unless the probe has one."""
    source = probe.source_address or address_of(probe.source, Family.of(probe.destination))
    if probe.source == "n1":
        interface = None
    else:
        interface = pod_interface(probe.source) if NODE_OF.get(probe.source) == "n1" else "eth0"
    return Packet(
        Endpoint(source, probe.source_port or source_port),
        Endpoint(probe.destination, probe.port),
        Protocol(probe.protocol),
        interface,
    )


def observe(probe: Probe, decisions: Iterable[Decision], *, asks_later: bool = False) -> Observed:
    """What the client sees of all these decisions about its connections.

    Kernel rules refuse what n1 itself sends within send(2); what `asks_later` looks at it when that has returned.
    """
    seen = Observed()
    for decision in decisions:
        error = client_error(decision, on_node=probe.source == "n1" and not asks_later)
        if error is None:
            seen.pods[NAMES[decision.packet.destination.address]] += 1
            source = decision.packet.source.address
            seen.sources.add(NAMES.get(source, source))
        else:
            seen.errors.add(error)
    return seen


def client_error(decision: Decision, *, on_node: bool) -> str | None:
    """What the client's socket meets, or None if a pod answers it."""
    if decision.outcome in (Outcome.FORWARD, Outcome.PASS):
        return _error_at(decision)
    rejected = decision.outcome is Outcome.REJECT
    # What this node itself sends is refused on its way out; only NodePorts are looked at on the way in.
    in_output = on_node and not (decision.frontend is not None and decision.frontend.key.is_node_port)
    if in_output and decision.packet.protocol is Protocol.UDP:
        return "EPERM"
    return "refused" if rejected else "timeout"


def _error_at(decision: Decision) -> str | None:
    """Where the packet went nobody may be, or the answer may take another way and not be known to the client."""
    destination = decision.packet.destination
    machine = NAMES.get(destination.address)
    if machine is None:
        return "refused" if destination.address in INTERFACE_ADDRESSES else "timeout"
    if destination.port not in SERVERS.get(machine, ()):
        return "refused"
    if decision.outcome is Outcome.PASS:
        return None
    if decision.packet.source.address == destination.address and destination.address not in INTERFACE_ADDRESSES:
        return "timeout"  # a pod that does not know itself again: its own address comes in from outside
    source = NAMES.get(decision.packet.source.address, "")
    comes_back_here = decision.masquerade or "n1" in (NODE_OF.get(machine, machine), NODE_OF.get(source, source))
    return None if comes_back_here else "timeout"
