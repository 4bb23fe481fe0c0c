"""What must hold for any Services, slices and nodes, in any order of events."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from random import Random

from hypothesis import given
from hypothesis import strategies as st

import strategies
from cluster import ADDRESSES, address, state
from controller.cluster import Cluster
from controller.compile import CompiledService, NodeView, compile_service
from controller.compiler import Compiler
from controller.endpoints import endpoints_by_port
from controller.objects import EndpointSlice, Service
from dataplane.reference import Outcome, classify
from dataplane.table import Client, Drop, Endpoint, Family, Forward, ForwardingTable, Protocol, Reject
from flows import every_decision, packet

services = strategies.services()
slices = st.lists(strategies.endpoint_slices(), max_size=4, unique_by=lambda s: s.metadata.key)
views = strategies.node_views


def usable(pieces: Sequence[EndpointSlice]) -> set[Endpoint]:
    """Every endpoint that some entry calls ready, or serving while it terminates."""
    found: set[Endpoint] = set()
    for piece, family in product(pieces, Family):
        for candidates in endpoints_by_port([piece], family).values():
            found.update(c.endpoint for c in candidates if c.ready or (c.serving and c.terminating))
    return found


def compiled(service: Service, pieces: Sequence[EndpointSlice], view: NodeView) -> CompiledService:
    return compile_service(service, pieces, view)


@given(services, slices, views)
def test_nothing_is_forwarded_to_an_endpoint_that_is_neither_ready_nor_serving_until_it_ends(
    service: Service, pieces: list[EndpointSlice], view: NodeView
) -> None:
    allowed = usable(pieces)
    for frontend in compiled(service, pieces, view).frontends.values():
        for pool in frontend.pools:
            assert {backend.endpoint for backend in pool.backends} <= allowed


@given(services, slices, views)
def test_a_ready_endpoint_keeps_every_terminating_one_out_of_its_pool(
    service: Service, pieces: list[EndpointSlice], view: NodeView
) -> None:
    # By service port: the same address and port may be ready under one name or protocol, and terminating under another.
    ready = {
        (port, c.endpoint)
        for family in Family
        for port, candidates in endpoints_by_port(pieces, family).items()
        for c in candidates
        if c.ready
    }
    for frontend in compiled(service, pieces, view).frontends.values():
        port = (frontend.service.partition(":")[2], frontend.key.protocol.value)
        for pool in frontend.pools:
            chosen = {(port, backend.endpoint) for backend in pool.backends}
            assert chosen <= ready or not chosen & ready


@given(services, slices, views)
def test_pools_are_sorted_without_doubles_and_of_their_frontend_s_family(
    service: Service, pieces: list[EndpointSlice], view: NodeView
) -> None:
    for key, frontend in compiled(service, pieces, view).frontends.items():
        for pool in frontend.pools:
            assert pool.backends
            assert list(pool.backends) == sorted(set(pool.backends), key=lambda b: str(b).encode())
            assert {Family.of(b.address) for b in pool.backends} == {key.family}


@given(services, slices, views)
def test_existing_udp_flows_may_go_on_wherever_new_ones_go(
    service: Service, pieces: list[EndpointSlice], view: NodeView
) -> None:
    for key, frontend in compiled(service, pieces, view).frontends.items():
        chosen = {backend.endpoint for pool in frontend.pools for backend in pool.backends}
        if key.protocol is Protocol.UDP:
            assert frontend.serving is not None
            assert chosen <= frontend.serving
        else:
            assert frontend.serving is None


@given(services, slices, views)
def test_a_frontend_rejects_everyone_or_nobody(service: Service, pieces: list[EndpointSlice], view: NodeView) -> None:
    """Whether anybody could serve does not depend on who asks; whether this node may, does."""
    for frontend in compiled(service, pieces, view).frontends.values():
        assert {isinstance(v, Reject) for v in frontend.verdicts} in ({True}, {False})


@given(services, slices, views)
def test_this_node_is_refused_only_where_everyone_is(
    service: Service, pieces: list[EndpointSlice], view: NodeView
) -> None:
    for frontend in compiled(service, pieces, view).frontends.values():
        if isinstance(frontend.node, Drop):
            assert frontend.verdicts == (Drop(), Drop(), Drop())


@given(services, slices, views)
def test_where_pods_cannot_be_told_they_are_clients_outside(
    service: Service, pieces: list[EndpointSlice], view: NodeView
) -> None:
    for key, frontend in compiled(service, pieces, view).frontends.items():
        assert view.detect_local.applies_to(key.family) or frontend.pod == frontend.outside


@given(services, slices, views)
def test_all_pools_of_a_service_port_share_one_memory(
    service: Service, pieces: list[EndpointSlice], view: NodeView
) -> None:
    memories: dict[tuple[str, Protocol], set[object]] = {}
    for key, frontend in compiled(service, pieces, view).frontends.items():
        for pool in frontend.pools:
            memories.setdefault((frontend.service, key.protocol), set()).add(pool.affinity)
    assert all(len(affinities) == 1 for affinities in memories.values())


@given(services, slices, views, st.randoms())
def test_the_order_of_slices_does_not_matter(
    service: Service, pieces: list[EndpointSlice], view: NodeView, chance: Random
) -> None:
    shuffled = list(pieces)
    chance.shuffle(shuffled)
    assert compiled(service, shuffled, view) == compiled(service, pieces, view)


@given(services, slices, views, st.sampled_from(["c1", "n1", "x1", "b1"]))
def test_every_connection_to_a_frontend_is_decided_by_the_verdict_for_its_client(
    service: Service, pieces: list[EndpointSlice], view: NodeView, client: str
) -> None:
    found = compiled(service, pieces, view)
    table = ForwardingTable(
        found.frontends, found.cluster_ips, frozenset(), view.node_port_addresses, view.detect_local
    )
    for key, frontend in found.frontends.items():
        if key.is_node_port or frontend.sources is not None:
            continue
        sent = packet(client, key.address, key.port, key.protocol)
        who, _, _ = classify(view.detect_local, sent, state().host_addresses)
        for decision in every_decision(table, sent, state()):
            verdict = frontend.verdict(who)
            if isinstance(verdict, Forward):
                backend = decision.backend
                assert decision.outcome is Outcome.FORWARD
                assert backend is not None
                hairpin = backend.local and backend.address == address(client, key.family)
                assert decision.masquerade is (verdict.masquerade or hairpin)
            else:
                assert decision.outcome is (Outcome.DROP if isinstance(verdict, Drop) else Outcome.REJECT)
            assert who is not Client.POD or view.detect_local.applies_to(key.family)


# --- Sequences of events ----------------------------------------------------------------------------------------

Event = Service | EndpointSlice | tuple[type, tuple[str, str]]
"""An object as it is now, or (kind, key) of one that is gone."""

objects = services | strategies.endpoint_slices()


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Objects come, change and go."""
    events: list[Event] = []
    for each in draw(st.lists(objects, max_size=12)):
        events.append(each)
        if draw(st.booleans()) and draw(st.booleans()):
            gone = draw(st.sampled_from(events))
            events.append(gone if isinstance(gone, tuple) else (type(gone), gone.metadata.key))
    return events


def happen(cluster: Cluster, event: Event) -> None:
    kind, key, new = (*event, None) if isinstance(event, tuple) else (type(event), event.metadata.key, event)
    if kind is Service:
        cluster.services.change(key, new)  # type: ignore[arg-type]
    else:
        cluster.slices.change(key, new)  # type: ignore[arg-type]


def quiet_cluster(events: Sequence[Event] = ()) -> Cluster:
    cluster = Cluster(lambda: None)
    for event in events:
        happen(cluster, event)
    return cluster


def compiled_anew(cluster: Cluster, view: NodeView) -> ForwardingTable:
    return Compiler(view).update(cluster.everything(), view, cluster.networks())


@given(histories(), views, st.lists(st.booleans(), min_size=1))
def test_any_sequence_of_updates_leads_to_the_table_compiled_anew(
    history: list[Event], view: NodeView, pauses: list[bool]
) -> None:
    """Whether each event is compiled by itself or several at once."""
    cluster, compiler = quiet_cluster(), Compiler(view)
    for number, event in enumerate(history):
        happen(cluster, event)
        if pauses[number % len(pauses)]:
            compiler.update(cluster.take_changes())
    assert compiler.update(cluster.take_changes()) == compiled_anew(cluster, view)


@given(histories(), views)
def test_what_is_told_beside_the_table_is_as_compiled_anew(history: list[Event], view: NodeView) -> None:
    """Health checks of load balancers, and service ports without endpoints here."""
    cluster, compiler, anew = quiet_cluster(), Compiler(view), Compiler(view)
    for event in history:
        happen(cluster, event)
        compiler.update(cluster.take_changes())
    anew.update(cluster.everything(), view, cluster.networks())
    assert compiler.health_checks == anew.health_checks
    assert compiler.shortages == anew.shortages


@given(histories(), views, st.randoms())
def test_the_order_of_events_does_not_matter(history: list[Event], view: NodeView, chance: Random) -> None:
    """Events of one object stay in their order; between objects they may come in any."""
    by_object: dict[object, list[Event]] = {}
    for event in history:
        key = event if isinstance(event, tuple) else (type(event), event.metadata.key)
        by_object.setdefault(key, []).append(event)
    queues, shuffled = list(by_object.values()), []
    while queues := [queue for queue in queues if queue]:
        shuffled.append(chance.choice(queues).pop(0))
    assert compiled_anew(quiet_cluster(shuffled), view) == compiled_anew(quiet_cluster(history), view)


@given(histories(), histories(), views)
def test_a_complete_list_leads_where_its_objects_one_by_one_do(
    before: list[Event], after: list[Event], view: NodeView
) -> None:
    """A watch that broke and was begun anew with a list."""
    broken, whole = quiet_cluster(before), quiet_cluster(after)
    compiler = Compiler(view)
    compiler.update(broken.take_changes())
    broken.services.replace(dict(whole.services.objects))
    broken.slices.replace(dict(whole.slices.objects))
    assert compiler.update(broken.take_changes()) == compiled_anew(whole, view)


@given(histories(), views, views)
def test_a_new_view_of_the_node_leads_to_the_table_compiled_anew(
    history: list[Event], before: NodeView, after: NodeView
) -> None:
    cluster, compiler = quiet_cluster(history), Compiler(before)
    compiler.update(cluster.take_changes())
    assert compiler.update(cluster.everything(), after) == compiled_anew(cluster, after)


@given(histories(), views)
def test_every_frontend_of_the_cluster_goes_to_the_oldest_service_that_asks_for_it(
    history: list[Event], view: NodeView
) -> None:
    cluster = quiet_cluster(history)
    table = compiled_anew(cluster, view)
    for key, frontend in table.frontends.items():
        asking = [
            (service.metadata.creation_timestamp or "", service.metadata.key)
            for service, pieces in cluster.everything().values()
            if service is not None and key in compile_service(service, pieces, view).frontends
        ]
        _, (namespace, name) = min(asking)
        assert frontend.service.partition(":")[0] == f"{namespace}/{name}"


def test_the_random_pods_are_pods_that_the_tests_know() -> None:
    assert set(strategies.PODS) <= set(ADDRESSES)
