"""Which endpoints of a service port get traffic, and why the others do not.

Two lists may be wanted: the *cluster* list (any node's endpoints, narrowed by topology hints) and the *local*
list (only this node's). Each takes the ready endpoints; where there are none it falls back, on its own, to those
that are terminating but still serving, so that a rolling restart loses nothing.
Sources: Service.spec.internalTrafficPolicy, externalTrafficPolicy; EndpointSlice hints; KEP-1669, KEP-2433.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from controller.endpoints import Candidate


class Topology(enum.Enum):
    """How hints narrow the cluster list. They count as a whole or not at all."""

    ALL = "all"
    SAME_NODE = "same node"
    SAME_ZONE = "same zone"


@dataclass(frozen=True, slots=True)
class Place:
    """Where this node is: its name, and its zone (label topology.kubernetes.io/zone, "" if it has none)."""

    node: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The endpoints that count. `exists` says that some endpoint, somewhere, could take a connection."""

    cluster: tuple[Candidate, ...] = ()
    local: tuple[Candidate, ...] = ()
    exists: bool = False
    topology: Topology = Topology.ALL


def topology_for(candidates: Sequence[Candidate], place: Place) -> Topology:
    """Hints are followed only if every ready endpoint has them and one of them names our node, or our zone."""
    ready = [c for c in candidates if c.ready]
    if not any(c.about.hints for c in ready):
        return Topology.ALL
    nodes = [c.nodes for c in ready]
    if all(nodes) and any(place.node in hinted for hinted in nodes):
        return Topology.SAME_NODE
    zones = [c.zones for c in ready]
    if place.zone and all(zones) and any(place.zone in hinted for hinted in zones):
        return Topology.SAME_ZONE
    return Topology.ALL


def _matches(candidate: Candidate, topology: Topology, place: Place) -> bool:
    if topology is Topology.SAME_NODE:
        return place.node in candidate.nodes
    if topology is Topology.SAME_ZONE:
        return place.zone in candidate.zones
    return True


def select(candidates: Sequence[Candidate], place: Place, *, uses_cluster: bool, uses_local: bool) -> Selection:
    """Choose the lists that are wanted; the other one stays empty."""
    if not candidates:
        return Selection()
    topology = Topology.ALL
    cluster: tuple[Candidate, ...] = ()
    local: tuple[Candidate, ...] = ()
    exists = False
    if uses_cluster:
        topology = topology_for(candidates, place)
        ready = [c for c in candidates if c.ready]
        if topology is not Topology.ALL:
            ready = [c for c in ready if _matches(c, topology, place)]
        cluster = tuple(ready) or tuple(c for c in candidates if c.serving and c.terminating)
        exists = bool(cluster)
    if uses_local:
        here = [c for c in candidates if c.is_on(place.node)]
        local = tuple(c for c in here if c.ready) or tuple(c for c in here if c.draining)
        exists = exists or any(c.ready or c.draining for c in candidates)
    return Selection(cluster, local, exists, topology)


def why_not(candidate: Candidate, selection: Selection, place: Place, *, local: bool) -> str | None:
    """In words: why this endpoint is not in the list. None if it is."""
    chosen = selection.local if local else selection.cluster
    if candidate in chosen:
        return None
    if local and not candidate.is_on(place.node):
        return f"it runs on {candidate.about.node_name or 'no known node'}, and only endpoints on {place.node} count"
    if candidate.ready:
        if selection.topology is Topology.SAME_NODE:
            return f"it is hinted for {_names(candidate.nodes)}, and {place.node} has endpoints of its own"
        return f"it is hinted for {_names(candidate.zones)}, and zone {place.zone} has endpoints of its own"
    if candidate.draining:
        return "it is terminating, and others are ready"
    if candidate.terminating:
        return "it is terminating and no longer serving"
    return "it is not ready"


def _names(names: frozenset[str]) -> str:
    return " and ".join(sorted(names)) or "nobody"
