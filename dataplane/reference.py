"""The executable specification: what a dataplane does with one packet, and why.

`decide` is a pure function. It is slow and says everything; every other dataplane is fast and must agree with
it. Time, chance and memory come from outside: `State` is what a node knows, `choose` stands for chance.

    decision = decide(table, packet, state, choose=random.Random(7).randrange)
    state = state.after(packet, decision)
    state = state.settled(new_table)

What it leaves to kernels: ports of masqueraded flows (here the source port is kept), protocol state, timeouts.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import TypeAlias

from dataplane.addresses import contains, is_loopback
from dataplane.steps import Rule, Step
from dataplane.table import (
    Affinity,
    Backend,
    Client,
    DetectLocal,
    Drop,
    Endpoint,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pick,
    Pool,
    Protocol,
)

Choose: TypeAlias = Callable[[int], int]
"""Given n, a number from 0 to n-1: the position in `Pool.drawn`, whichever way it was picked."""


@dataclass(frozen=True, slots=True)
class Packet:
    """The parts of a packet that decide its way.

    `interface` is the one it came in on, or None for a packet that this host itself sends.
    """

    source: Endpoint
    destination: Endpoint
    protocol: Protocol
    interface: str | None = None

    @property
    def family(self) -> Family:
        return Family.of(self.destination.address)

    @property
    def reply(self) -> Packet:
        """The answer to this packet, as its receiver sends it."""
        return Packet(self.destination, self.source, self.protocol)

    @property
    def flow(self) -> FlowKey:
        return (self.protocol, self.source, self.destination)

    def __str__(self) -> str:
        return f"{self.protocol} {self.source} → {self.destination}"


FlowKey: TypeAlias = tuple[Protocol, Endpoint, Endpoint]


class Outcome(enum.Enum):
    FORWARD = "forwarded"
    REJECT = "rejected"  #: ICMP port unreachable: the client knows at once
    DROP = "dropped"  #: silence: the client waits until it gives up
    PASS = "passed"  #: not ours: routed as it is
    HOLD = "held"  #: a fragment that overtook its first: waits for it. Only the engine sees fragments


@dataclass(frozen=True, slots=True)
class Remembered:
    """An affinity entry: this client goes to `endpoint` until `expires` (seconds, on the clock of State.now)."""

    endpoint: Endpoint
    expires: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a packet, and the steps that led there.

    `packet` is what leaves (the one that came in, unless forwarded). `probability` is that of this backend
    among all that could have been picked; 1 if there was no choice. `remember` is the affinity entry that
    this connection makes or renews, by (affinity name, client address).
    """

    outcome: Outcome
    packet: Packet
    steps: tuple[Step, ...]
    client: Client | None = None
    frontend: Frontend | None = None
    backend: Backend | None = None
    probability: Fraction = Fraction(1)
    masquerade: bool = False
    remember: tuple[tuple[str, str], Remembered] | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What a node knows besides its table.

    `host_addresses` are all addresses of its interfaces, loopback ones too; `egress` holds per family the one
    that masqueraded connections get. `affinity` and `flows` grow with `after`. `now` is in seconds. `pick` is the
    dataplane's own way, where a pool asks for none.
    """

    host_addresses: frozenset[str] = frozenset()
    egress: Mapping[Family, str] = field(default_factory=lambda: MappingProxyType({}))
    now: float = 0.0
    affinity: Mapping[tuple[str, str], Remembered] = field(default_factory=lambda: MappingProxyType({}))
    flows: Mapping[FlowKey, Decision] = field(default_factory=lambda: MappingProxyType({}))
    pick: Pick = Pick.RANDOM

    def after(self, packet: Packet, decision: Decision) -> State:
        """The state once this packet has gone its way: it may know one more flow, in both directions."""
        if decision.outcome is not Outcome.FORWARD or packet.flow in self.flows:
            return self
        forward = replace(decision, steps=())
        backward = replace(decision, packet=packet.reply, steps=())
        flows = {**self.flows, packet.flow: forward, decision.packet.reply.flow: backward}
        affinity = self.affinity
        if decision.remember is not None:
            key, entry = decision.remember
            affinity = {**affinity, key: entry}
        return replace(self, flows=flows, affinity=affinity)

    def at(self, now: float) -> State:
        return replace(self, now=now)

    def settled(self, table: ForwardingTable) -> State:
        """What is left in memory once `table` is in force.

        A TCP connection goes on whatever happens, so that a terminating backend can finish; a UDP flow would go on
        for ever, so it is forgotten unless its frontend is still there and its backend still serving. Affinity to a
        backend that no pool of that memory holds any more is forgotten too, even if the backend comes back.
        """
        pools = {pool for frontend in table.frontends.values() for pool in frontend.pools if pool.affinity}
        held = {(p.affinity.name, b.endpoint) for p in pools if p.affinity for b in p.backends}
        return replace(
            self,
            flows={key: known for key, known in self.flows.items() if _goes_on(known, table)},
            affinity={key: entry for key, entry in self.affinity.items() if (key[0], entry.endpoint) in held},
        )


def decide(table: ForwardingTable, packet: Packet, state: State, choose: Choose) -> Decision:
    """What the table does with this packet. The same arguments always give the same decision."""
    known = state.flows.get(packet.flow)
    if known is not None:
        return _continue(packet, known)
    steps: list[Step] = []
    frontend = find_frontend(table, packet.destination, packet.protocol, state.host_addresses)
    if frontend is None:
        return _without_frontend(table, packet, steps)
    steps.append(Step(Rule.FRONTEND, _where(frontend.key, packet), f"Yes, by {frontend.service}."))
    if frontend.sources is not None:
        allowed = contains(frontend.sources, packet.source.address)
        answer = "Yes, it is in an allowed range." if allowed else "No, it is in none of the allowed ranges."
        steps.append(Step(Rule.SOURCES, f"{packet.source.address}; allowed: {', '.join(frontend.sources)}", answer))
        if not allowed:
            return Decision(Outcome.DROP, packet, tuple(steps), frontend=frontend)
    client, looked_at, answer = classify(table.detect_local, packet, state.host_addresses)
    steps.append(Step(Rule.CLIENT, looked_at, answer))
    verdict = frontend.verdict(client)
    if not isinstance(verdict, Forward):
        return _refuse(packet, steps, client, frontend, dropped=isinstance(verdict, Drop))
    count = len(verdict.pool.backends)
    steps.append(
        Step(
            Rule.VERDICT,
            f"{frontend.service}, for {_WORDS[client]}",
            f"It is forwarded to one of {count} backends." if count > 1 else "It is forwarded to the only backend.",
        )
    )
    backend, probability = _pick(verdict.pool, packet.source.address, state, choose, steps)
    if packet.interface is not None and backend.address in state.host_addresses:
        masquerade = _stay_here(backend, packet, steps)
    else:
        masquerade = _masquerade(verdict, backend, packet, f"{frontend.service}, for {_WORDS[client]}", steps)
    affinity = verdict.pool.affinity
    return Decision(
        Outcome.FORWARD,
        _rewritten(packet, backend, masquerade, state),
        tuple(steps),
        client,
        frontend,
        backend,
        probability,
        masquerade,
        _remember(affinity, packet, backend, state) if affinity else None,
    )


def _goes_on(known: Decision, table: ForwardingTable) -> bool:
    """Whether a flow outlives the coming of this table."""
    if known.frontend is None or known.backend is None or known.frontend.serving is None:
        return True
    frontend = table.frontends.get(known.frontend.key)
    return frontend is not None and frontend.keeps(known.backend.endpoint)


def find_frontend(
    table: ForwardingTable, destination: Endpoint, protocol: Protocol, host_addresses: frozenset[str]
) -> Frontend | None:
    """The frontend that serves this destination. An address of its own comes before a NodePort."""
    on_node = answers_node_ports(table, destination.address, host_addresses)
    keys = keys_in_order(destination, protocol, on_node=on_node)
    return next((table.frontends[key] for key in keys if key in table.frontends), None)


def keys_in_order(destination: Endpoint, protocol: Protocol, *, on_node: bool) -> tuple[FrontendKey, ...]:
    """The keys that a packet's destination is looked up by; `on_node` says that NodePorts answer on its address."""
    key = FrontendKey.of(destination, protocol)
    if key.is_node_port:
        return ()  # nobody's address: it only stands for NodePorts in the table
    return (key, FrontendKey.of(destination, protocol, node_port=True)) if on_node else (key,)


def answers_node_ports(table: ForwardingTable, address: str, host_addresses: frozenset[str]) -> bool:
    """Whether NodePorts answer on this address."""
    if Family.of(address).any_address in table.node_addresses:
        return address in host_addresses and not is_loopback(address)
    return address in table.node_addresses


def classify(rule: DetectLocal, packet: Packet, host_addresses: frozenset[str]) -> tuple[Client, str, str]:
    """Who sent this packet; what was looked at; and the answer in words."""
    source, interface = packet.source.address, packet.interface
    network = rule.network(packet.family)
    if network is not None and contains((network,), source):
        return Client.POD, f"{source} is in {network}", "A pod: its address is one of the pods'."
    if rule.interface and interface is not None:
        named = interface.startswith(rule.interface) if rule.prefix else interface == rule.interface
        if named:
            return Client.POD, f"it came in on {interface}", "A pod: it came in where pods do."
    if source in host_addresses:
        return Client.NODE, f"{source} is an address of this host", "This node itself."
    return Client.OUTSIDE, f"{source} is no address of a pod or of this host", "Somebody outside."


def _where(key: FrontendKey, packet: Packet) -> str:
    if key.is_node_port:
        return f"NodePort {key.port}/{key.protocol}, on this node's address {packet.destination.address}"
    return str(key)


def _continue(packet: Packet, known: Decision) -> Decision:
    moved = replace(known.packet, interface=packet.interface)
    step = Step(Rule.FLOW, str(packet), "Yes: it is treated as the connection's first packet was.")
    return replace(known, packet=moved, steps=(step,))


def _without_frontend(table: ForwardingTable, packet: Packet, steps: list[Step]) -> Decision:
    address = packet.destination.address
    steps.append(Step(Rule.FRONTEND, f"{packet.destination}/{packet.protocol}", "No, by nobody."))
    belongs = address in table.cluster_ips
    answer = "Yes, and this is none of its ports: rejected." if belongs else "No."
    steps.append(Step(Rule.CLUSTER_IP, address, answer))
    if belongs:
        return Decision(Outcome.REJECT, packet, tuple(steps))
    possible = contains(table.service_cidrs, address)
    answer = "Yes, but no Service has it: dropped." if possible else "No: it is none of our business, and goes on."
    ranges = ", ".join(sorted(table.service_cidrs)) or "none"
    steps.append(Step(Rule.SERVICE_CIDR, f"{address}; ranges of Services: {ranges}", answer))
    return Decision(Outcome.DROP if possible else Outcome.PASS, packet, tuple(steps))


def _refuse(packet: Packet, steps: list[Step], client: Client, frontend: Frontend, *, dropped: bool) -> Decision:
    answer = (
        "It is dropped: there are endpoints, but none that this node may send it to."
        if dropped
        else "It is rejected: nobody could serve it."
    )
    steps.append(Step(Rule.VERDICT, f"{frontend.service}, for {_WORDS[client]}", answer))
    outcome = Outcome.DROP if dropped else Outcome.REJECT
    return Decision(outcome, packet, tuple(steps), client, frontend)


def _pick(pool: Pool, client: str, state: State, choose: Choose, steps: list[Step]) -> tuple[Backend, Fraction]:
    """The backend, and how likely it was."""
    if pool.affinity is not None:
        backend, step = _known_backend(pool, pool.affinity, client, state)
        steps.append(step)
        if backend is not None:
            return backend, Fraction(1)
    if len(pool.backends) == 1:
        backend = pool.backends[0]
        steps.append(Step(Rule.PICK, str(backend), f"{backend}: there is no other."))
        return backend, Fraction(1)
    drawn = pool.drawn
    backend = drawn[choose(len(drawn))]
    probability = Fraction(drawn.count(backend), len(drawn))
    weighted = len(drawn) > len(pool.backends)
    looked_at = ", ".join(f"{b} (weight {b.weight})" if weighted else str(b) for b in pool.backends)
    share = f"{probability.numerator} in {probability.denominator}{' by weight' if weighted else ''}"
    steps.append(Step(Rule.PICK, looked_at, f"{backend}, picked {_WAYS[pool.pick or state.pick]}: {share}."))
    return backend, probability


def _known_backend(pool: Pool, affinity: Affinity, client: str, state: State) -> tuple[Backend | None, Step]:
    entry = state.affinity.get((affinity.name, client))
    looked_at = f"{client} in the memory of {affinity.name}, {affinity.seconds} s"
    if entry is None or entry.expires <= state.now:
        return None, Step(Rule.AFFINITY, looked_at, "No, or too long ago: it may get any backend.")
    backend = next((b for b in pool.backends if b.endpoint == entry.endpoint), None)
    if backend is None:
        answer = "Yes, but at a backend that is none of these: it gets another."
        return None, Step(Rule.AFFINITY, looked_at, answer)
    return backend, Step(Rule.AFFINITY, looked_at, f"Yes: it stays with {backend}.")


def _stay_here(backend: Backend, packet: Packet, steps: list[Step]) -> bool:
    """Masquerading is for what leaves a host, so what came from elsewhere to a pod with hostNetwork never is."""
    answer = f"The client itself, {packet.source.address}: what stays on this host is never masqueraded."
    steps.append(Step(Rule.MASQUERADE, f"{backend} is an address of this host", answer))
    return False


def _masquerade(verdict: Forward, backend: Backend, packet: Packet, asked: str, steps: list[Step]) -> bool:
    source = packet.source.address
    hairpin = backend.local and backend.address == source
    if hairpin:
        steps.append(
            Step(Rule.HAIRPIN, f"{source} and {backend}", "Yes: without masquerading it would answer to itself.")
        )
    masquerade = verdict.masquerade or hairpin
    if masquerade:
        answer = "This node: the connection is masqueraded, so that answers come back through here."
    else:
        answer = f"The client itself, {source}: answers come back through here anyway."
    steps.append(Step(Rule.MASQUERADE, asked, answer))
    return masquerade


def _rewritten(packet: Packet, backend: Backend, masquerade: bool, state: State) -> Packet:
    source = packet.source
    if masquerade:
        source = Endpoint(state.egress.get(packet.family, packet.family.any_address), source.port)
    return Packet(source, backend.endpoint, packet.protocol, packet.interface)


def _remember(affinity: Affinity, packet: Packet, backend: Backend, state: State) -> tuple[tuple[str, str], Remembered]:
    entry = Remembered(backend.endpoint, state.now + affinity.seconds)
    return (affinity.name, packet.source.address), entry


_WAYS = {
    Pick.RANDOM: "at random",
    Pick.ROUND_ROBIN: "in turn",
    Pick.LEAST_CONNECTIONS: "for its few connections",
    Pick.MAGLEV: "by the connection's addresses and ports",
}

_WORDS = {Client.POD: "a pod", Client.NODE: "this node", Client.OUTSIDE: "a client outside"}
