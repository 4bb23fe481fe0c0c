"""Whatever is in the cluster, packets go where the reference says.

Each example is a few random clusters, one after the other in the same node: so what is tried is not only each table,
but also every step from one to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count, cycle, islice
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import strategies
from cluster import SERVICE_CIDRS
from conformance.cases import Expectation, Probe
from conformance.client_view import first_packet, fresh_state, observe
from conformance.observed import Observed, surprises
from conformance.packet_run import MODES, Mode, ask, forget_flows
from conformance.setting import ADDRESSES, SECONDARY_ADDRESS, address_of
from controller.cluster import Cluster
from controller.compile import NodeView
from controller.compiler import Compiler
from controller.objects import EndpointSlice, Service
from controller.selection import Place
from dataplane.fake import describe
from dataplane.reference import Decision, Packet, State
from dataplane.table import Family, ForwardingTable, Protocol
from flows import every_decision
from kube_proxy_layout import carried_out, translated
from lab.network.network import Network
from patience import PATIENCE

pytestmark = pytest.mark.kernel

CLIENTS = ("c1", "b1", "n1", "x1")  #: those whose packets pass n1
TRIES = 6
_SOURCE_PORTS = cycle(range(41000, 42000))
HURRY = 0.3  #: seconds for an answer; who expects one and gets none asks again with patience

views = strategies.node_views.map(lambda view: replace(view, place=Place("n1", view.place.zone)))


@dataclass(frozen=True)
class World:
    """One state of a cluster."""

    services: tuple[Service, ...]
    slices: tuple[EndpointSlice, ...]
    view: NodeView
    chosen: tuple[int, ...]  #: chance, for which connections to try

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """In failures, hypothesis shows what the world comes to, not the objects that it is made of."""
        table = self.table()
        served = "\n    ".join(map(describe, table.frontends.values()))
        printer.text(f"\n  NodePorts on {sorted(table.node_addresses)}, {table.detect_local}\n    {served}\n")

    def table(self) -> ForwardingTable:
        cluster = Cluster(lambda: None)
        cluster.services.replace({service.metadata.key: service for service in self.services})
        cluster.slices.replace({piece.metadata.key: piece for piece in self.slices})
        return Compiler(self.view).update(cluster.everything(), self.view, SERVICE_CIDRS)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    return World(
        tuple(draw(st.lists(strategies.services(), min_size=2, max_size=4))),
        tuple(
            draw(strategies.slices_of(service, family, f"{service}-{family}"))
            for service in strategies.SERVICE_NAMES
            for family in Family
        ),
        draw(views),
        draw(st.tuples(*[st.integers(0, 10_000)] * 6)),
    )


def probes(world: World, table: ForwardingTable) -> list[Probe]:
    """Connections to what is served, and to what is beside it."""
    addresses = {Family.IPV4: (ADDRESSES["n1"][0], SECONDARY_ADDRESS), Family.IPV6: ADDRESSES["n1"][1:]}
    possible = [(strategies.CLUSTER_IPS[family][0], 81, Protocol.TCP) for family in Family]
    for key in table.frontends:
        if key.protocol is not Protocol.SCTP:
            hosts = addresses[key.family] if key.is_node_port else (key.address,)
            possible += [(host, key.port, key.protocol) for host in hosts]
    found = []
    for number in world.chosen:
        host, port, protocol = possible[number % len(possible)]
        client = CLIENTS[number // len(possible) % len(CLIENTS)]
        expect: dict[str, Expectation] = {}
        found.append(Probe(expect, client, host, port, protocol.value, TRIES))
    return found


ports = count(20000)


def as_in(mode: Mode, table: ForwardingTable) -> ForwardingTable:
    """What the mode makes of a table."""
    return carried_out(table) if mode.expectations == "iptables" else table


def decisions_in(mode: Mode, table: ForwardingTable, sent: Packet, known: State) -> list[Decision]:
    """All that the mode may do with a packet, where it is exactly that table that it carries out."""
    decisions = every_decision(table, sent, known)
    return [translated(d, sent, known) if mode.expectations == "iptables" else d for d in decisions]


def expectation(table: ForwardingTable, probe: Probe, mode: Mode) -> Expectation:
    """All that could happen, as the reference says. A client that is remembered may see less of it, and never more."""
    decisions = decisions_in(mode, as_in(mode, table), first_packet(probe, next(ports)), fresh_state())
    seen = observe(probe, decisions, asks_later=mode.asks_later)
    return Expectation(frozenset(seen.pods), frozenset(seen.sources), frozenset(seen.errors))


def try_it(machines: Network, probe: Probe, expected: Expectation) -> list[str]:
    def seen_from_new_ports(timeout: float) -> Observed:
        # UDP from a port that was used in an earlier world would be a flow of that one, where it may go on.
        ports = tuple(islice(_SOURCE_PORTS, TRIES)) if probe.protocol == Protocol.UDP.value else ()
        return ask(machines[probe.source], probe, timeout, ports)

    seen = seen_from_new_ports(HURRY)
    if surprises(seen, expected) and "timeout" in seen.errors:
        seen = seen_from_new_ports(PATIENCE)
    return [f"{probe}: {surprise}, seen {seen}" for surprise in surprises(seen, expected)]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@settings(max_examples=9, phases=[Phase.explicit, Phase.generate])
@given(history=st.lists(worlds(), min_size=1, max_size=3))
def test_packets_go_where_the_reference_says(mode: Mode, machines: Network, history: Sequence[World]) -> None:
    n1 = machines["n1"]
    dataplane = n1.call(mode.make)
    try:
        for world in history:
            table = world.table()
            n1.call(partial(dataplane.apply, table))
            n1.call(forget_flows)
            tried = [(probe, expectation(table, probe, mode)) for probe in probes(world, table)]
            with ThreadPoolExecutor() as threads:
                failures = threads.map(lambda both: try_it(machines, *both), tried)
                assert list(chain.from_iterable(failures)) == []
    finally:
        n1.call(dataplane.cleanup)
        n1.call(forget_flows)
        dataplane.close()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@settings(max_examples=9, phases=[Phase.explicit, Phase.generate])
@given(
    history=st.lists(worlds(), min_size=2, max_size=4),
    chosen=st.lists(st.tuples(st.sampled_from(CLIENTS), st.integers(0, 10_000)), min_size=8, max_size=8),
)
def test_udp_flows_go_on_and_end_as_the_reference_says(
    mode: Mode, machines: Network, history: Sequence[World], chosen: Sequence[tuple[str, int]]
) -> None:
    """The same few flows, again in each world: whether one goes on or begins anew depends on what was before.

    NodePorts stay on the same addresses. What becomes of a flow to one where they answer no longer is not settled yet:
    by the reference it goes on as long as its NodePort has that endpoint, on any address; by kernel modes it does too,
    but stays when the NodePort goes later; in userspace mode its packets come no more to the engine.
    """
    n1 = machines["n1"]
    seen = partial(observe, asks_later=mode.asks_later)
    where = history[0].view.node_port_addresses
    tables = [replace(w, view=replace(w.view, node_port_addresses=where)).table() for w in history]
    flows = udp_flows(tables, chosen)
    known = fresh_state()
    dataplane = n1.call(mode.make)
    try:
        for table in tables:
            n1.call(partial(dataplane.apply, table))
            carried = as_in(mode, table)
            known = known.settled(carried)
            with ThreadPoolExecutor() as threads:
                answers = list(threads.map(lambda flow: ask(machines[flow.source], flow, HURRY), flows))
            for flow, answer in zip(list(flows), answers, strict=True):
                sent = first_packet(flow, 0)
                decisions = decisions_in(mode, carried, sent, replace(known, affinity={}))
                agreeing = [decision for decision in decisions if seen(flow, [decision]) == answer]
                if not agreeing:
                    answer = ask(machines[flow.source], flow, PATIENCE)
                    agreeing = [decision for decision in decisions if seen(flow, [decision]) == answer]
                possible = seen(flow, decisions)
                assert agreeing, f"{flow}: {answer}, but {possible} are possible"
                if len(agreeing) == 1 and (answer.pods or (not possible.pods and answer.errors == possible.errors)):
                    known = known.after(sent, agreeing[0])
                else:
                    # Nobody answers, so nobody knows which backend it was; or an answer that could have come is late.
                    flows.remove(flow)
    finally:
        n1.call(dataplane.cleanup)
        n1.call(forget_flows)
        dataplane.close()


def udp_flows(tables: Sequence[ForwardingTable], chosen: Sequence[tuple[str, int]]) -> list[Probe]:
    """Flows to UDP frontends of any of these tables, each from a source port of its own.

    Which none had before: what IPVS remembers of a flow nobody can delete, and it is true again when the same real
    server comes again.
    """
    keys = sorted({key for table in tables for key in table.frontends if key.protocol is Protocol.UDP})
    found = []
    for client, which in chosen if keys else ():
        key = keys[which % len(keys)]
        host = address_of("n1", key.family) if key.is_node_port else key.address
        found.append(Probe({}, client, host, key.port, "UDP", 1, source_port=next(_SOURCE_PORTS)))
    return found
