"""What the maps and rules say is what the reference decides: for any table and packet.

The rules are few and always the same, so they are walked by hand here: sources, then the client, then its map; what has
no mark meets the addresses of Services.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

import strategies
from cluster import ADDRESSES, HOST_ADDRESSES, state
from dataplane.addresses import contains, is_loopback
from dataplane.changes import Changes
from dataplane.ipvs import marks, rules
from dataplane.ipvs.kernel import ServerKey
from dataplane.ipvs.ruleset import Ruleset
from dataplane.ipvs.servers import Servers
from dataplane.nft import elements, fields, guard
from dataplane.nft.plan import Plan
from dataplane.reference import Outcome, Packet, classify
from dataplane.table import Client, Endpoint, Family, ForwardingTable, FrontendKey, Protocol
from flows import every_decision, packet

CLIENTS = ("c1", "b1", "b3", "n1", "n2", "x1", "203.0.113.9", "2001:db8::99")
INTERFACES = ("eth0", "cni0", "pod-c1")

_REFUSALS = {
    marks.REJECT: Outcome.REJECT,
    marks.REJECT_NODE_PORT: Outcome.REJECT,
    marks.DROP: Outcome.DROP,
    marks.DROP_NODE_PORT: Outcome.DROP,
}


class Programmed:
    """A table as IPVS mode would program it."""

    def __init__(self, table: ForwardingTable) -> None:
        self.table = table
        servers = Servers("rr")
        changes = Changes.between(ForwardingTable(), table)
        update = servers.update(changes.frontends)
        frontends = {key: f and (f, servers.client_marks(f)) for key, f in update.frontends.items()}
        self.servers = dict(servers.all)
        self.plans: dict[Family, Plan] = {
            family: Ruleset(layer, marks.connection_bits(14)).update(changes, table, frontends)
            for family, layer in rules.LAYERS.items()
        }

    def elements(self, family: Family, name: str) -> dict[bytes, bytes]:
        return dict(self.plans[family].added.get(name, []))

    def decide(self, sent: Packet) -> set[tuple[Outcome, Endpoint, bool]]:
        """Outcomes, where the packet then goes, and whether it is masqueraded."""
        family, destination = sent.family, sent.destination
        exact = guard.element_key(FrontendKey(destination.address, sent.protocol, destination.port))
        port = guard.element_key(FrontendKey(family.any_address, sent.protocol, destination.port))
        if exact in self.elements(family, guard.LIMITED) and not self._allowed(sent, exact):
            return {(Outcome.DROP, destination, False)}
        client, _, _ = classify(self.table.detect_local, sent, HOST_ADDRESSES)
        mark = self._mark(family, client, exact, node_port=False)
        if not mark and self._takes_node_ports(destination.address):
            mark = self._mark(family, client, port, node_port=True)
        if mark in _REFUSALS:
            return {(_REFUSALS[mark], destination, False)}
        if mark:
            return set(self._forwarded(sent, mark))
        if fields.address(destination.address) in self.elements(family, guard.CLUSTER_IPS):
            return {(Outcome.REJECT, destination, False)}
        possible = contains(self.table.service_cidrs, destination.address)
        return {(Outcome.DROP if possible else Outcome.PASS, destination, False)}

    def _mark(self, family: Family, client: Client, key: bytes, *, node_port: bool) -> int:
        tail = self.elements(family, rules.map_name(client, node_port=node_port)).get(key)
        return 0 if tail is None else int(struct.unpack("=I", elements.value_of(tail))[0])

    def _allowed(self, sent: Packet, head: bytes) -> bool:
        source = fields.address(sent.source.address)
        ranges = self.elements(sent.family, guard.ALLOWED_SOURCES).items()
        return any(key.startswith(head) and key[len(head) :] <= source <= tail[-len(source) :] for key, tail in ranges)

    def _takes_node_ports(self, address: str) -> bool:
        family = Family.of(address)
        if family.any_address in self.table.node_addresses:
            return address in HOST_ADDRESSES and not is_loopback(address)
        return fields.address(address) in self.elements(family, guard.NODE_ADDRESSES)

    def _forwarded(self, sent: Packet, mark: int) -> Iterator[tuple[Outcome, Endpoint, bool]]:
        masquerade, mark = bool(mark & marks.MASQUERADE), mark & ~marks.MASQUERADE
        destination = sent.destination
        at_address = FrontendKey(destination.address, sent.protocol, destination.port)
        key = ServerKey(sent.family, frontend=at_address) if mark == marks.DELIVER else ServerKey(sent.family, mark)
        for endpoint in self.servers[key].weights:
            hairpin = (
                fields.address(sent.source.address)
                + fields.address(endpoint.address)
                + fields.protocol(sent.protocol.number)
                + fields.port(endpoint.port)
            )
            stays_here = sent.interface is not None and endpoint.address in HOST_ADDRESSES
            leaves = masquerade or hairpin in self.elements(sent.family, guard.HAIRPIN)
            yield Outcome.FORWARD, endpoint, leaves and not stays_here


def destinations(table: ForwardingTable, family: Family) -> Iterator[tuple[str, int, Protocol]]:
    """All that is served, also at the wrong addresses of the host, and some that are not."""
    for key in table.frontends:
        if key.family is family:
            hosts = (a for a in HOST_ADDRESSES if Family.of(a) is family)
            for address in hosts if key.is_node_port else (key.address,):
                yield address, key.port, key.protocol
    yield strategies.CLUSTER_IPS[family][0], 9, Protocol.TCP
    yield ADDRESSES["n1"][0 if family is Family.IPV4 else 1], 30053, Protocol.UDP
    yield ADDRESSES["b3"][0 if family is Family.IPV4 else 1], 80, Protocol.TCP


@given(strategies.tables(), st.sampled_from(Family), st.sampled_from(CLIENTS), st.sampled_from(INTERFACES))
def test_any_packet_fares_as_the_reference_says(
    table: ForwardingTable, family: Family, client: str, interface: str
) -> None:
    if "." in client or ":" in client:
        client = {Family.IPV4: "203.0.113.9", Family.IPV6: "2001:db8::99"}[family]
    programmed = Programmed(table)
    for address, port, protocol in destinations(table, family):
        sent = packet(client, address, port, protocol, interface=None if client == "n1" else interface)
        wanted = {(d.outcome, d.packet.destination, d.masquerade) for d in every_decision(table, sent, state())}
        assert programmed.decide(sent) == wanted, str(sent)
