"""What kubectl says about a running cluster can be put into one on paper, and means the same there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataplane.errors import InputError
from lab.manifests import Manifest, load
from lab.paper import PaperCluster

WEB = Path(__file__).parents[2] / "examples" / "web.yaml"


def recorded() -> PaperCluster:
    return PaperCluster(load([str(WEB)]), seed=7)


def again(objects: list[dict[str, Any]], **options: Any) -> PaperCluster:
    return PaperCluster([Manifest(obj, obj["metadata"]["name"]) for obj in objects], **options)


def endpoints(cluster: PaperCluster) -> dict[str, list[tuple[str, str | None, Any]]]:
    """(address, node, conditions) of each Service's endpoints."""
    found: dict[str, list[tuple[str, str | None, Any]]] = {}
    for piece in cluster.endpoint_slices():
        for one in piece["endpoints"]:
            told = (one["addresses"][0], one.get("nodeName"), sorted((one.get("conditions") or {}).items()))
            found.setdefault(piece["metadata"]["labels"]["kubernetes.io/service-name"], []).append(told)
    return {service: sorted(told) for service, told in found.items()}


def test_slices_that_were_recorded_count_also_without_their_pods() -> None:
    before = recorded()
    assert endpoints(again([*before.services(), *before.endpoint_slices()])) == endpoints(before)


def test_slices_and_pods_that_were_recorded_say_the_same_as_before() -> None:
    before = recorded()
    after = again([*before.pods(), *before.nodes(), *before.services(), *before.endpoint_slices()])
    assert endpoints(after) == endpoints(before)
    assert [p["status"]["podIP"] for p in after.pods()] == [p["status"]["podIP"] for p in before.pods()]


def test_pods_whose_owners_were_not_recorded_stay() -> None:
    before = recorded()
    after = again([*before.pods(), *before.services()])
    assert len(after.pods()) == len(before.pods()) == 4
    assert endpoints(after)["web"] == endpoints(before)["web"]


def test_a_recorded_pod_can_be_imagined_not_ready() -> None:
    before = recorded()
    name = next(p["metadata"]["name"] for p in before.pods() if p["metadata"]["name"].startswith("web-"))
    pods_too = again([*before.pods(), *before.services(), *before.endpoint_slices()], not_ready=[name])
    slices_only = again([*before.services(), *before.endpoint_slices()], not_ready=[name])
    pods_only = again([*before.pods(), *before.services()], not_ready=[name])
    for cluster in (pods_too, slices_only, pods_only):
        assert sorted(dict(c)["ready"] for _, _, c in endpoints(cluster)["web"]) == [False, True, True]


def test_a_recording_may_have_fields_that_nobody_here_knows() -> None:
    service = recorded().services()[0]
    after = again([service | {"spec": service["spec"] | {"somethingNewer": 1}}])
    assert [s["spec"]["clusterIP"] for s in after.services()] == [service["spec"]["clusterIP"]]


def test_a_field_that_a_person_wrote_and_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(InputError, match=r'unknown field "spec\.prots"'):
        again([{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"prots": []}}])


def test_what_every_cluster_has_may_be_in_the_recording() -> None:
    first: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "uid": "u"}},
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": ["172.20.0.0/16"]},
        },
    ]
    service = {"metadata": {"name": "a", "uid": "v"}, "spec": {"clusterIP": "172.20.0.7", "ports": [{"port": 80}]}}
    cluster = again([{"apiVersion": "v1", "kind": "Service"} | service, *first])
    assert cluster.services()[0]["spec"]["clusterIP"] == "172.20.0.7"
    assert cluster.service_networks() == {"172.20.0.0/16"}


def test_a_node_that_says_only_its_name_gets_addresses_and_pods() -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "left", "labels": {"zone": "a"}}}
    pod = {"metadata": {"name": "client"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    cluster = again([{"apiVersion": "v1", "kind": "Pod"} | pod, node])
    assert [p["spec"]["nodeName"] for p in cluster.pods()] == ["left"]
    assert cluster.pods()[0]["status"]["podIPs"]
    assert cluster.nodes()[0]["status"]["addresses"]
