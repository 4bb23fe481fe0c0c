"""Who is masqueraded on the way to which endpoints: every client, every entrance, every policy, every option.

The 27 flows of kube-proxy's own matrix, in each of four configurations of the node. A cell says which endpoints may
answer (``all``: of any node; ``local``: of this node) and ends in ``m`` where the client is masqueraded.
"""

from __future__ import annotations

from typing import Any

import pytest

from cluster import ADDRESSES, CLUSTER_IP, VIP, compiled, piece, port, service, view
from controller.compile import NodeView
from flows import ask

NODE_PORT = 30080
ENTRANCES = {"cluster IP": (CLUSTER_IP, 80), "node port": (ADDRESSES["n1"][0], NODE_PORT), "load balancer": (VIP, 80)}
CLIENTS = {"pod": "c1", "node": "n1", "outside": "x1"}
POLICIES: dict[str, dict[str, Any]] = {
    "default": {},
    "external Local": {"external_traffic_policy": "Local"},
    "internal Local": {"internal_traffic_policy": "Local"},
}
PODS = {"all": {"b1", "b2", "b3"}, "local": {"b1", "b2"}}

# A row: client, entrance; then a cell for each policy, in the order of POLICIES.
PLAIN = """
    pod      cluster IP      all     all     local
    node     cluster IP      all m   all m   local m
    outside  cluster IP      all m   all m   local m
    pod      node port       all m   all     all m
    node     node port       all m   all m   all m
    outside  node port       all m   local   all m
    pod      load balancer   all m   all     all m
    node     load balancer   all m   all m   all m
    outside  load balancer   all m   local   all m
"""
PODS_NOT_TOLD = """
    pod      cluster IP      all     all     local
    node     cluster IP      all     all     local
    outside  cluster IP      all     all     local
    pod      node port       all m   local   all m
    node     node port       all m   all m   all m
    outside  node port       all m   local   all m
    pod      load balancer   all m   local   all m
    node     load balancer   all m   all m   all m
    outside  load balancer   all m   local   all m
"""
MASQUERADE_ALL = """
    pod      cluster IP      all m   all m   local m
    node     cluster IP      all m   all m   local m
    outside  cluster IP      all m   all m   local m
    pod      node port       all m   all     all m
    node     node port       all m   all m   all m
    outside  node port       all m   local   all m
    pod      load balancer   all m   all     all m
    node     load balancer   all m   all m   all m
    outside  load balancer   all m   local   all m
"""
MASQUERADE_ALL_PODS_NOT_TOLD = """
    pod      cluster IP      all m   all m   local m
    node     cluster IP      all m   all m   local m
    outside  cluster IP      all m   all m   local m
    pod      node port       all m   local   all m
    node     node port       all m   all m   all m
    outside  node port       all m   local   all m
    pod      load balancer   all m   local   all m
    node     load balancer   all m   all m   all m
    outside  load balancer   all m   local   all m
"""


def flows(matrix: str) -> list[tuple[str, str, str, str, bool]]:
    """(client, entrance, policy, which endpoints, masqueraded) for each cell."""
    found = []
    for row in matrix.strip().splitlines():
        client, entrance, *cells = (cell.strip() for cell in row.split("  ") if cell.strip())
        for policy, cell in zip(POLICIES, cells, strict=True):
            which, _, mark = cell.partition(" ")
            found.append((client, entrance, policy, which, mark == "m"))
    assert len(found) == 27
    return found


def check(node: NodeView, client: str, entrance: str, policy: str, which: str, masqueraded: bool) -> None:
    of = service("web", port(node_port=NODE_PORT), vips=[VIP], **POLICIES[policy])
    answers = ask(compiled(of, piece("web", "b1", "b2", "b3"), node=node), CLIENTS[client], *ENTRANCES[entrance])
    assert answers.pods == PODS[which]
    assert {decision.masquerade for decision in answers.decisions} == {masqueraded}
    assert answers.seen_as == ({"n1"} if masqueraded else {CLIENTS[client]})


CELLS = ("client", "entrance", "policy", "which", "masqueraded")


@pytest.mark.parametrize(CELLS, flows(PLAIN))
def test_with_pods_told_from_others(client: str, entrance: str, policy: str, which: str, masqueraded: bool) -> None:
    check(view(), client, entrance, policy, which, masqueraded)


@pytest.mark.parametrize(CELLS, flows(PODS_NOT_TOLD))
def test_without_knowing_who_is_a_pod(client: str, entrance: str, policy: str, which: str, masqueraded: bool) -> None:
    check(view(pods_told=False), client, entrance, policy, which, masqueraded)


@pytest.mark.parametrize(CELLS, flows(MASQUERADE_ALL))
def test_with_masquerade_all(client: str, entrance: str, policy: str, which: str, masqueraded: bool) -> None:
    check(view(masquerade_all=True), client, entrance, policy, which, masqueraded)


@pytest.mark.parametrize(CELLS, flows(MASQUERADE_ALL_PODS_NOT_TOLD))
def test_with_masquerade_all_without_knowing_who_is_a_pod(
    client: str, entrance: str, policy: str, which: str, masqueraded: bool
) -> None:
    check(view(masquerade_all=True, pods_told=False), client, entrance, policy, which, masqueraded)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_pod_that_reaches_itself_is_masqueraded_and_no_other_way(policy: str) -> None:
    table = compiled(service(vips=[VIP], **POLICIES[policy]), piece("web", "b1", "b2", "b3"))
    for decision in ask(table, "b1", CLUSTER_IP, 80).decisions:
        assert decision.masquerade is (decision.backend is not None and decision.backend.address == ADDRESSES["b1"][0])
