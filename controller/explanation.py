"""Which endpoints counted for one connection, and why each other one did not.

The reference tells how a packet met the table; this tells how the table came to hold what it does. Both read the
same values that compiling reads, so they cannot say anything else than what happened.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controller.compile import NodeView, Selected, select_service
from controller.objects import EndpointSlice, Service
from controller.selection import Topology, why_not
from dataplane.table import Client, Endpoint, Forward, Frontend


@dataclass(frozen=True, slots=True)
class EndpointStory:
    """One endpoint of the service port. `why_not` is None if it counted. `name` and `node` may be unknown ("")."""

    endpoint: Endpoint
    name: str
    node: str
    zone: str
    why_not: str | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The endpoints of a service port as one client's connection sees them, and the policy in words."""

    policy: str
    endpoints: tuple[EndpointStory, ...]


def choice_for(
    service: Service, slices: Iterable[EndpointSlice], view: NodeView, frontend: Frontend, client: Client
) -> Choice | None:
    """What could have been picked at this frontend. None if the frontend is not this Service's."""
    for selected in select_service(service, slices, view):
        if selected.facts.family is frontend.key.family and _serves(selected, frontend):
            local = _takes_local(selected, view, frontend, client)
            stories = (_story(selected, view, index, local) for index in range(len(selected.candidates)))
            return Choice(_policy(selected, view, frontend, client, local), tuple(stories))
    return None


def _serves(selected: Selected, frontend: Frontend) -> bool:
    port, key = selected.port, frontend.key
    if selected.protocol is not key.protocol or selected.facts.port_name(port) != frontend.service:
        return False
    return key.port == (port.node_port if key.is_node_port else port.port)


def _is_internal(selected: Selected, frontend: Frontend) -> bool:
    return frontend.key.address == selected.facts.cluster_ip


def _takes_local(selected: Selected, view: NodeView, frontend: Frontend, client: Client) -> bool:
    """Whether the verdict draws from this node's endpoints only."""
    if _is_internal(selected, frontend):
        return selected.facts.internal_local
    if not selected.facts.external_local:
        return False
    verdict = frontend.verdict(client)
    if client is Client.OUTSIDE or (client is Client.POD and not view.detect_local.applies_to(selected.facts.family)):
        return True
    return not isinstance(verdict, Forward)


def _policy(selected: Selected, view: NodeView, frontend: Frontend, client: Client, local: bool) -> str:
    internal = _is_internal(selected, frontend)
    name = "internalTrafficPolicy" if internal else "externalTrafficPolicy"
    if local:
        return f"{name} is Local: only endpoints on {view.place.node} count."
    if not internal and selected.facts.external_local:
        who = "a pod" if client is Client.POD else "the node itself"
        return f"{name} is Local, but {who} is inside the cluster already: endpoints on any node count."
    topology = selected.selection.topology
    if topology is Topology.SAME_NODE:
        return f"{name} is Cluster, and all endpoints are hinted for nodes: those for {view.place.node} count."
    if topology is Topology.SAME_ZONE:
        return f"{name} is Cluster, and all endpoints are hinted for zones: those for {view.place.zone} count."
    return f"{name} is Cluster: endpoints on any node count."


def _story(selected: Selected, view: NodeView, index: int, local: bool) -> EndpointStory:
    candidate = selected.candidates[index]
    about = candidate.about
    target = about.target_ref
    return EndpointStory(
        candidate.endpoint,
        f"{target.kind.lower()}/{target.name}" if target else "",
        about.node_name or "",
        about.zone or "",
        why_not(candidate, selected.selection, view.place, local=local),
    )
