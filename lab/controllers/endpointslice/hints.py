"""Topology hints: for which zones and nodes an endpoint is meant.

kube-proxy only obeys hints; who gets which is decided here.

- ``spec.trafficDistribution: PreferClose`` or ``PreferSameZone``: each endpoint is for its own zone.
- ``PreferSameNode``: each endpoint is for its own node, and for its own zone where the node has none.
- the annotation ``service.kubernetes.io/topology-mode: Auto``: zones get endpoints in proportion to their CPUs,
  first their own, then what other zones have too much of. It gives no hints at all if that would
  overload somebody, and says why. ``trafficDistribution`` does not look at load; where both are set, the
  annotation counts.

The proportional rule follows KEP-2433. A node that does not state its CPUs counts as having one, since all nodes of
a lab share one machine.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from controller.objects import LABEL_ZONE
from lab.api.errors import Object
from lab.controllers.endpointslice.endpoint import is_ready
from lab.controllers.objects import annotations_of, condition, labels_of

ANNOTATION_MODE = "service.kubernetes.io/topology-mode"
ANNOTATION_MODE_OLD = "service.kubernetes.io/topology-aware-hints"

OVERLOAD = Fraction(1, 5)  #: a zone's endpoints may get this much more than their fair share of the traffic


def hinted(service: Object, endpoints: Sequence[Object], nodes: Iterable[Object]) -> list[Object]:
    """The same endpoints, in the same order, with the hints that the Service asks for."""
    if wants_proportions(service):
        return _in_proportion(endpoints, nodes)
    match service["spec"].get("trafficDistribution"):
        case "PreferClose" | "PreferSameZone":
            return [_with_hints(e, _own_zone(e)) for e in endpoints]
        case "PreferSameNode":
            return [_with_hints(e, _own_node(e) | _own_zone(e)) for e in endpoints]
    return list(endpoints)


def wants_proportions(service: Object) -> bool:
    """Whether the annotation asks for hints in proportion to CPUs."""
    annotations = annotations_of(service)
    mode = annotations.get(ANNOTATION_MODE) or annotations.get(ANNOTATION_MODE_OLD) or ""
    return mode.lower() == "auto"


def _own_zone(endpoint: Object) -> Object:
    return {"forZones": [{"name": endpoint["zone"]}]} if endpoint.get("zone") else {}


def _own_node(endpoint: Object) -> Object:
    return {"forNodes": [{"name": endpoint["nodeName"]}]} if endpoint.get("nodeName") else {}


def _with_hints(endpoint: Object, hints: Object) -> Object:
    return endpoint | {"hints": hints} if hints else endpoint


def _in_proportion(endpoints: Sequence[Object], nodes: Iterable[Object]) -> list[Object]:
    ready = [e for e in endpoints if is_ready(e)]
    cpus = cpus_of_zones(nodes)
    if why_no_proportions(ready, cpus):
        return list(endpoints)
    zones = iter(assigned_zones([e["zone"] for e in ready], shares(len(ready), cpus)))
    return [_with_hints(e, {"forZones": [{"name": next(zones)}]}) if is_ready(e) else e for e in endpoints]


def why_no_proportions(ready: Sequence[Object], cpus: Mapping[str, Fraction]) -> str | None:
    """The reason not to give any proportional hints, or None if they can be given."""
    if len(cpus) < 2:
        return "fewer than two zones have ready nodes"
    if any(not e.get("zone") for e in ready):
        return "a ready endpoint has no zone"
    if sum(least_shares(len(ready), cpus).values()) > len(ready):
        return f"{len(ready)} ready endpoints are too few to spread over {len(cpus)} zones without overload"
    return None


def cpus_of_zones(nodes: Iterable[Object]) -> dict[str, Fraction]:
    """Allocatable CPUs of each zone's ready nodes, the control plane's not counted."""
    cpus: dict[str, Fraction] = defaultdict(Fraction)
    for node in nodes:
        zone = labels_of(node).get(LABEL_ZONE)
        is_control_plane = "node-role.kubernetes.io/control-plane" in labels_of(node)
        if zone and not is_control_plane and (condition(node, "Ready") or {}).get("status") == "True":
            cpus[zone] += _cpus(node)
    return dict(cpus)


def _cpus(node: Object) -> Fraction:
    """A ``resource.Quantity`` of CPUs: ``2``, ``1.5`` or ``1500m``."""
    text = str(node.get("status", {}).get("allocatable", {}).get("cpu") or "1")
    return Fraction(text[:-1]) / 1000 if text.endswith("m") else Fraction(text)


def least_shares(count: int, cpus: Mapping[str, Fraction]) -> dict[str, int]:
    """How many of `count` endpoints each zone must have so that none of them is overloaded: at least one."""
    total = sum(cpus.values())
    return {zone: math.ceil(count * c / total / (1 + OVERLOAD)) for zone, c in sorted(cpus.items())}


def shares(count: int, cpus: Mapping[str, Fraction]) -> dict[str, int]:
    """How many of `count` endpoints each zone gets: what it must have, the rest where most is wanting."""
    total = sum(cpus.values())
    share = least_shares(count, cpus)
    for _ in range(count - sum(share.values())):
        share[max(share, key=lambda zone: count * cpus[zone] / total - share[zone])] += 1
    return share


def assigned_zones(own_zones: Sequence[str], share: Mapping[str, int]) -> list[str]:
    """A zone for each endpoint: its own, as long as that has not got its share; the others fill what is left."""
    left = Counter(share)
    assigned: list[str | None] = []
    for zone in own_zones:
        if left[zone] > 0:
            left[zone] -= 1
            assigned.append(zone)
        else:
            assigned.append(None)
    needy = left.elements()
    return [next(needy) if zone is None else zone for zone in assigned]
