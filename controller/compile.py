"""From Kubernetes objects to frontends: every rule about Services is decided here, and nowhere else.

`compile_service` is a pure function of one Service, its EndpointSlices and the node's view. The whole of
kube-proxy's matrix of traffic policies, short-circuits, topology and missing endpoints comes out as one verdict
per kind of client. `controller.compiler` puts the Services of a cluster together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from controller.annotations import complaints, pick_of
from controller.endpoints import Candidate, endpoints_by_port
from controller.health_check import HealthCheck, health_checks_of
from controller.objects import EndpointSlice, Service, ServicePort
from controller.selection import Place, Selection, select
from controller.service import ServiceFacts, facts_of, protocol_of
from dataplane.table import (
    Affinity,
    Backend,
    DetectLocal,
    Drop,
    Endpoint,
    Entrance,
    Family,
    Forward,
    Frontend,
    FrontendKey,
    Pick,
    Pool,
    Protocol,
    Reject,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class NodeView:
    """All about this node that Services depend on.

    `addresses` are the node's own (``Node.status.addresses``); `node_port_addresses` those that NodePorts
    answer on, in the form of `ForwardingTable.node_addresses`. `external_ips` says whether those that Services name
    are served at all. `forgetful` are the protocols whose flows are forgotten once their endpoint serves no more (see
    `Frontend.serving`). `picks` are the ways to pick that its mode knows.
    """

    place: Place
    addresses: tuple[str, ...] = ()
    node_port_addresses: frozenset[str] = frozenset()
    detect_local: DetectLocal = field(default_factory=DetectLocal)
    masquerade_all: bool = False
    external_ips: bool = True
    forgetful: frozenset[Protocol] = frozenset({Protocol.UDP})
    picks: frozenset[Pick] = frozenset(Pick)


@dataclass(frozen=True, slots=True)
class Selected:
    """One service port with the endpoints that count for it: the step before verdicts."""

    facts: ServiceFacts
    port: ServicePort
    protocol: Protocol
    candidates: tuple[Candidate, ...]
    selection: Selection


class Shortage(NamedTuple):
    """A service port whose traffic may only go to endpoints of this node, and all there are run elsewhere."""

    family: Family
    policy: Literal["internal", "external"]  #: which of its traffic policies is Local


@dataclass(frozen=True, slots=True)
class CompiledService:
    """One Service's part of the table, in both families, and what is to be told about it. Empty if not proxied."""

    frontends: Mapping[FrontendKey, Frontend]
    cluster_ips: frozenset[str]
    health_checks: tuple[HealthCheck, ...] = ()
    shortages: tuple[Shortage, ...] = ()  #: one for each service port and policy
    complaints: tuple[str, ...] = ()  #: what is asked for and cannot be had


def compile_service(service: Service, slices: Iterable[EndpointSlice], view: NodeView) -> CompiledService:
    """Decide everything about one Service.

    Where one address comes twice (an external IP that is the cluster IP too), the first in this order is kept:
    cluster IP, load-balancer address, external IP, NodePort.
    """
    pieces = tuple(slices)
    frontends: dict[FrontendKey, Frontend] = {}
    cluster_ips: set[str] = set()
    shortages: list[Shortage] = []
    pick = pick_of(service, view.picks)
    for selected in select_service(service, pieces, view):
        cluster_ips.add(selected.facts.cluster_ip)
        shortages += _shortages(selected)
        for frontend in _frontends(selected, view, pick):
            frontends.setdefault(frontend.key, frontend)
    checks = health_checks_of(service, pieces, view.place.node)
    unheeded = tuple(complaints(service, pieces, view.picks)) if frontends else ()
    return CompiledService(frontends, frozenset(cluster_ips), checks, tuple(shortages), unheeded)


def select_service(service: Service, slices: Iterable[EndpointSlice], view: NodeView) -> Iterable[Selected]:
    """Every service port of every family, with the endpoints that count. `explain` tells its story from this."""
    pieces = tuple(slices)
    for family, facts in facts_of(service, view.addresses).items():
        candidates = endpoints_by_port(pieces, family)
        for port in service.spec.ports or ():
            protocol = protocol_of(port)
            if protocol is None:
                continue
            found = candidates.get((port.name, port.protocol), ())
            external = facts.is_external(port)
            selection = select(
                found,
                view.place,
                uses_cluster=not facts.internal_local or external,
                uses_local=facts.internal_local or (facts.external_local and external),
            )
            yield Selected(facts, port, protocol, found, selection)


def _shortages(selected: Selected) -> Iterable[Shortage]:
    facts, selection = selected.facts, selected.selection
    if selection.local or not selection.exists:
        return
    if facts.internal_local:
        yield Shortage(facts.family, "internal")
    if facts.external_local and facts.is_external(selected.port):
        yield Shortage(facts.family, "external")


def _frontends(selected: Selected, view: NodeView, pick: Pick | None) -> Iterable[Frontend]:
    facts, port, selection = selected.facts, selected.port, selected.selection
    affinity = facts.affinity(port)
    cluster = _pool(selection.cluster, affinity, pick, view.place)
    local = _pool(selection.local, affinity, pick, view.place)
    serving: frozenset[Endpoint] | None = None
    if selected.protocol in view.forgetful:
        # Ready but not serving: published although it is not ready (Service.spec.publishNotReadyAddresses).
        serving = frozenset(c.endpoint for c in selected.candidates if c.serving or c.ready)

    def frontend(
        entrance: Entrance,
        address: str,
        number: int,
        verdicts: tuple[Verdict, Verdict, Verdict],
        sources: tuple[str, ...] | None = None,
    ) -> Frontend:
        only_local = facts.internal_local if entrance is Entrance.CLUSTER_IP else facts.external_local
        key = FrontendKey(address, selected.protocol, number)
        return Frontend(key, facts.port_name(port), *verdicts, sources, serving, entrance, only_local)

    pods_are_told = view.detect_local.applies_to(facts.family)
    yield frontend(
        Entrance.CLUSTER_IP,
        facts.cluster_ip,
        port.port,
        _internal(local if facts.internal_local else cluster, selection.exists, pods_are_told, view.masquerade_all),
    )
    if not facts.is_external(port):
        return
    verdicts = _external(cluster, local, facts.external_local, pods_are_told)
    for address in facts.load_balancer_ips:
        yield frontend(Entrance.LOAD_BALANCER_IP, address, port.port, verdicts, facts.sources)
    for address in facts.external_ips if view.external_ips else ():
        yield frontend(Entrance.EXTERNAL_IP, address, port.port, verdicts)
    if port.node_port:
        yield frontend(Entrance.NODE_PORT, facts.family.any_address, port.node_port, verdicts)


def _pool(candidates: Sequence[Candidate], affinity: Affinity | None, pick: Pick | None, place: Place) -> Pool | None:
    if not candidates:
        return None
    node = place.node
    return Pool(tuple([Backend(c.address, c.port, c.is_on(node), c.weight) for c in candidates]), affinity, pick)


def _internal(
    pool: Pool | None, exists: bool, pods_are_told: bool, masquerade_all: bool
) -> tuple[Verdict, Verdict, Verdict]:
    """The cluster IP's verdicts. Clients that are no pods are masqueraded: they may not route answers back here."""
    if pool is None:
        refusal: Verdict = Drop() if exists else Reject()
        return (refusal, refusal, refusal)
    others = Forward(pool, masquerade=masquerade_all or pods_are_told)
    return (Forward(pool, masquerade=masquerade_all), others, others)


def _external(
    cluster: Pool | None, local: Pool | None, only_local: bool, pods_are_told: bool
) -> tuple[Verdict, Verdict, Verdict]:
    """The verdicts of external IPs, load-balancer addresses and NodePorts.

    With externalTrafficPolicy Local outside clients keep their address and get only endpoints of this node.
    Pods and the node itself are inside already: they take the short way to any endpoint.
    """
    if cluster is None:
        return (Reject(), Reject(), Reject())
    if not only_local:
        everyone = Forward(cluster, masquerade=True)
        return (everyone, everyone, everyone)
    outside: Verdict = Drop() if local is None else Forward(local, masquerade=False)
    pod = Forward(cluster, masquerade=False) if pods_are_told else outside
    return (pod, Forward(cluster, masquerade=True), outside)
