"""The rules, walked as a kernel walks them, decide as the reference does: for any table, packet and outcome of chance.

Where kube-proxy's layout is known to decide otherwise, `kube_proxy_layout` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from cluster import ADDRESSES, HOST_ADDRESSES, state
from dataplane.iptables import tree
from dataplane.iptables.chain import Layout, Options
from dataplane.reference import Outcome, Packet, State
from dataplane.table import Endpoint, Family, ForwardingTable, Protocol
from flows import every_decision, packet
from iptables_tracer import Tracer, Way
from kube_proxy_layout import carried_out, translated

CLIENTS = ("c1", "b1", "b3", "n1", "n2", "x1", "203.0.113.9", "2001:db8::99")
INTERFACES = ("eth0", "cni0", "pod-c1")


def expected(table: ForwardingTable, sent: Packet, known: State) -> dict[tuple[Outcome, Endpoint, bool], float]:
    """What can happen, and how likely, as the reference has it."""
    return {
        (d.outcome, d.packet.destination, translated(d, sent, known).masquerade): float(d.probability)
        for d in every_decision(carried_out(table), sent, known)
    }


def packets(table: ForwardingTable, family: Family) -> Iterator[tuple[str, int, Protocol]]:
    """Destinations: all that is served, also at the wrong addresses of the host, and some that are not."""
    for key in table.frontends:
        if key.family is family:
            hosts = (a for a in HOST_ADDRESSES if Family.of(a) is family)
            for address in hosts if key.is_node_port else (key.address,):
                yield address, key.port, key.protocol
    yield strategies.CLUSTER_IPS[family][0], 9, Protocol.TCP
    yield ADDRESSES["n1"][0 if family is Family.IPV4 else 1], 30053, Protocol.UDP
    yield ADDRESSES["b3"][0 if family is Family.IPV4 else 1], 80, Protocol.TCP


@given(
    strategies.tables(),
    st.sampled_from(Family),
    st.sampled_from(CLIENTS),
    st.sampled_from(INTERFACES),
    st.sampled_from(Layout),
)
def test_the_rules_decide_as_the_reference(
    written: Callable[..., str], table: ForwardingTable, family: Family, client: str, interface: str, layout: Layout
) -> None:
    if "." in client or ":" in client:
        client = {Family.IPV4: "203.0.113.9", Family.IPV6: "2001:db8::99"}[family]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "LONGEST", 1)
        tracer = Tracer(written(table, family, Options(layout=layout)), HOST_ADDRESSES)
    for address, port, protocol in packets(table, family):
        sent = packet(client, address, port, protocol, interface=None if client == "n1" else interface)
        wanted = expected(table, sent, state())
        ways = list(tracer.ways(sent))
        found = {(way.outcome, way.destination, way.masqueraded): way.probability for way in ways}
        assert found == pytest.approx(wanted, abs=1e-8), _told(ways)
        assert len(found) == len(ways)


@settings(max_examples=30)
@given(
    strategies.tables(),
    st.sampled_from(Family),
    st.sampled_from(CLIENTS[:6]),
    st.sampled_from(Layout),
    st.lists(st.booleans(), max_size=3),
    st.sampled_from((0.0, 5.5, 10.5, 11.5, 20.0)),
)
def test_a_client_that_is_remembered_is_sent_where_the_reference_sends_it(
    written: Callable[..., str],
    table: ForwardingTable,
    family: Family,
    client: str,
    layout: Layout,
    chance: list[bool],
    later: float,
) -> None:
    """A connection to a port that remembers clients, and then, `later`, one to any port.

    Only one before: where several endpoints are remembered, kube-proxy's layout has an order of its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "LONGEST", 1)
        text = written(table, family, Options(layout=layout))
    for address, port, protocol in packets(table, family):
        tracer = Tracer(text, HOST_ADDRESSES)
        first = packet(client, address, port, protocol)
        way = tracer.send(first, chance)
        decided = [
            (translated(d, first, state()), d)
            for d in every_decision(carried_out(table), first, state())
            if d.remember is not None
        ]
        decided = [(t, d) for t, d in decided if t.packet.destination == way.destination]
        if not decided:
            continue  # nobody is remembered there
        tracer.now += later
        known = replace(state().after(first, decided[0][1]), now=later)
        for other_address, other_port, other_protocol in packets(table, family):
            sent = packet(client, other_address, other_port, other_protocol)
            ways = list(tracer.ways(sent))
            found = {(way.outcome, way.destination, way.masqueraded): way.probability for way in ways}
            assert found == pytest.approx(expected(table, sent, known), abs=1e-8), _told(ways)


def _told(ways: list[Way]) -> str:
    return "\n".join("\n  ".join((str(way.outcome), *way.trace)) for way in ways)
