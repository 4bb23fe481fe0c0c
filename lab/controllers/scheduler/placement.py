"""Which node a pod goes to: first who can take it, then who has the fewest pods of its kind.

The filters are those of the real scheduler that make sense without real resources, and what they say is worded as
there. Everything else (CPU and memory, pod affinity, topology spread constraints, priorities) does not exist here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.api.errors import Object
from lab.api.selectors import Selector
from lab.controllers import pods as pod_state
from lab.controllers.objects import condition, controller_of, is_going, labels_of

NOT_READY: Object = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Placement:
    """A node's name, or why there is none."""

    node: str | None
    message: str = ""


def place(pod: Object, nodes: Sequence[Object], pods_on: Callable[[str], Sequence[Object]]) -> Placement:
    """A node for this pod. `pods_on` gives the pods that a node has already."""
    if not nodes:
        return Placement(None, "no nodes available to schedule pods")
    reasons: Counter[str] = Counter()
    possible: list[tuple[int, int, str]] = []
    owner = controller_of(pod)
    for node in nodes:
        name = node["metadata"]["name"]
        present = [p for p in pods_on(name) if not pod_state.is_over(p)]
        reason = why_not(pod, node, present)
        if reason:
            reasons[reason] += 1
        else:
            relatives = sum(1 for p in present if owner and _uid(controller_of(p)) == owner["uid"])
            possible.append((relatives, len(present), name))
    if possible:
        return Placement(min(possible)[2])
    why = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    return Placement(None, f"0/{len(nodes)} nodes are available: {why}.")


def why_not(pod: Object, node: Object, present: Iterable[Object]) -> str | None:
    """Why this pod cannot go to this node, which has the pods `present`; None if it can."""
    if is_going(node) or node.get("spec", {}).get("unschedulable"):
        return "node(s) were unschedulable"
    taint = _untolerated_taint(pod, node)
    if taint:
        return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"
    if not _matches_selectors(pod, node):
        return "node(s) didn't match Pod's node affinity/selector"
    wanted = set(_host_ports(pod))
    if wanted and any(wanted & set(_host_ports(other)) for other in present):
        return "node(s) didn't have free ports for the requested pod ports"
    return None


def _untolerated_taint(pod: Object, node: Object) -> Object | None:
    taints = list(node.get("spec", {}).get("taints") or ())
    if (condition(node, "Ready") or {}).get("status") != "True":
        taints.append(NOT_READY)
    tolerations = pod["spec"].get("tolerations") or ()
    for taint in taints:
        if taint.get("effect") != "PreferNoSchedule" and not any(_tolerates(t, taint) for t in tolerations):
            return dict(taint)
    return None


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def _matches_selectors(pod: Object, node: Object) -> bool:
    """``nodeSelector`` and the required part of ``affinity.nodeAffinity``."""
    selector = pod["spec"].get("nodeSelector") or {}
    if not Selector.of(selector).matches(labels_of(node)):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_matches_term(term, node) for term in required.get("nodeSelectorTerms") or ())


def _matches_term(term: Object, node: Object) -> bool:
    labels, fields = term.get("matchExpressions"), term.get("matchFields")
    if not labels and not fields:
        return False  # an empty term matches nothing, unlike an empty selector
    by_labels = Selector.of_object({"matchExpressions": labels or []})
    by_fields = Selector.of_object({"matchExpressions": fields or []})
    return by_labels.matches(labels_of(node)) and by_fields.matches(_fields(node))


def _fields(node: Object) -> Mapping[str, str]:
    return {"metadata.name": node["metadata"]["name"]}


def _host_ports(pod: Object) -> Iterable[tuple[str, int]]:
    """The (protocol, port) pairs that the pod takes on its node; the host address they are limited to is not read."""
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            number = port.get("hostPort") or (port["containerPort"] if pod["spec"].get("hostNetwork") else 0)
            if number:
                yield (port.get("protocol") or "TCP", number)


def _uid(reference: Object | None) -> str | None:
    return reference["uid"] if reference else None
