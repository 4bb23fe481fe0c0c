"""A cluster on paper is the lab's, but for the kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dataplane.errors import InputError
from lab.api.errors import Object
from lab.cluster.nodes import node_object
from lab.cluster.options import LabOptions
from lab.manifests import Manifest
from lab.paper import PaperCluster


def pod(**spec: object) -> Manifest:
    obj: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "web", "image": "web"}], **spec},
    }
    return Manifest(obj, "web.yaml")


def test_its_nodes_have_the_labels_and_networks_of_the_labs() -> None:
    hosts = [host for host in LabOptions(nodes=3).topology().hosts if host.forwards]
    for node, real in zip(PaperCluster([], nodes=3).nodes(), map(node_object, hosts, (1, 2, 3)), strict=True):
        assert node["metadata"]["labels"] == real["metadata"]["labels"]
        assert node["spec"]["podCIDRs"] == real["spec"]["podCIDRs"]


def test_a_pod_that_wants_linux_runs() -> None:
    (web,) = PaperCluster([pod(nodeSelector={"kubernetes.io/os": "linux"})]).pods()
    assert web["spec"]["nodeName"] == "n1"
    assert web["status"]["phase"] == "Running"


def test_a_service_may_have_more_ports_than_a_hundred() -> None:
    ports = [{"name": f"p{i}", "port": 10000 + i, "targetPort": 8080} for i in range(300)]
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "many"},
        "spec": {"selector": {"app": "many"}, "ports": ports},
    }
    served = pod()
    served.object["metadata"]["labels"] = {"app": "many"}
    known = PaperCluster([served, Manifest(service, "many.yaml")]).known()
    _, slices = known.look_up(("default", "many"))
    assert [len(piece.ports) for piece in slices] == [300]


def test_what_two_files_bring_alike_is_one_object() -> None:
    assert len(PaperCluster([pod(), replace(pod(), where="again.yaml")]).pods()) == 1


def test_what_two_files_bring_differently_is_refused() -> None:
    other = replace(pod(hostNetwork=True), where="other.yaml, document 2 (Pod web)")
    with pytest.raises(InputError) as error:
        PaperCluster([pod(), other])
    assert str(error.value) == (
        "other.yaml, document 2 (Pod web): differs from web.yaml (expected the same, or another name)"
    )


def test_names_that_are_made_up_are_never_the_same() -> None:
    made_up = pod()
    made_up.object["metadata"] = {"generateName": "web-"}
    assert len(PaperCluster([made_up, made_up]).pods()) == 2


def test_more_replicas_than_could_ever_run_are_refused_at_once() -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web"}]}}
    spec = {"replicas": 65536, "selector": {"matchLabels": labels}, "template": template}
    obj: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    with pytest.raises(InputError, match=r"^web.yaml: spec.replicas is 65536"):
        PaperCluster([Manifest(obj, "web.yaml")])
