"""Service, Deployment, scheduler and kubelet together: what the slices say in the end."""

import pytest

from lab.api.registry import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES


def slices(cluster, service="web"):
    return [
        s for s in cluster.all(ENDPOINT_SLICES) if s["metadata"]["labels"].get("kubernetes.io/service-name") == service
    ]


def endpoints(cluster, service="web"):
    return [e for s in slices(cluster, service) for e in s["endpoints"]]


def by_pod(cluster):
    return {e["targetRef"]["name"]: e["conditions"] for e in endpoints(cluster)}


def test_slices_name_the_addresses_nodes_and_zones_of_the_pods(cluster):
    cluster.deploy()
    cluster.serve()
    cluster.settle()
    pods = {p["metadata"]["name"]: p for p in cluster.pods()}
    found = endpoints(cluster)
    assert len(found) == 3
    for endpoint in found:
        pod = pods[endpoint["targetRef"]["name"]]
        assert endpoint["addresses"] == [pod["status"]["podIP"]]
        assert endpoint["nodeName"] == pod["spec"]["nodeName"]
        assert endpoint["zone"] == {"n1": "za", "n2": "zb"}[endpoint["nodeName"]]
        assert endpoint["conditions"] == {"ready": True, "serving": True, "terminating": False}


def test_it_does_not_matter_whether_the_service_or_the_pods_come_first(cluster):
    cluster.serve()
    cluster.settle()
    assert endpoints(cluster) == []
    cluster.deploy()
    cluster.settle()
    assert len(endpoints(cluster)) == 3
    assert len(slices(cluster)) == 1


def test_a_pod_that_is_being_deleted_is_shown_as_terminating_until_it_is_gone(cluster):
    cluster.deploy(replicas=2)
    cluster.serve()
    cluster.settle()
    cluster.kubelet.lets_go = lambda _: False
    cluster.deploy(replicas=1)
    cluster.settle()
    going = [c for c in by_pod(cluster).values() if c["terminating"]]
    assert going == [{"ready": False, "serving": True, "terminating": True}]
    cluster.kubelet.lets_go = lambda _: True
    cluster.settle()
    assert len(endpoints(cluster)) == 1


def test_a_pod_whose_labels_change_leaves_one_service_and_joins_another(cluster):
    cluster.deploy(replicas=1)
    cluster.serve("web")
    cluster.serve("other")
    cluster.settle()
    (pod,) = cluster.pods()
    labels = {"app": "other"}
    cluster.store.update(PODS, pod | {"metadata": pod["metadata"] | {"labels": labels}})
    cluster.settle()
    name = pod["metadata"]["name"]
    assert [e["targetRef"]["name"] for e in endpoints(cluster, "other")] == [name]
    assert name not in by_pod(cluster)


def test_a_new_selector_is_followed(cluster):
    cluster.deploy("web", replicas=1)
    cluster.deploy("other", replicas=2)
    cluster.serve("web")
    cluster.settle()
    cluster.serve("web", selector={"app": "other"})
    cluster.settle()
    assert len(endpoints(cluster)) == 2


def test_a_node_that_moves_to_another_zone_takes_its_endpoints_along(cluster):
    cluster.deploy()
    cluster.serve()
    cluster.settle()
    node = cluster.store.get(NODES, "", "n1")
    labels = node["metadata"]["labels"] | {"topology.kubernetes.io/zone": "zc"}
    cluster.store.update(NODES, node | {"metadata": node["metadata"] | {"labels": labels}})
    cluster.settle()
    assert {e["zone"] for e in endpoints(cluster) if e["nodeName"] == "n1"} == {"zc"}


def test_slices_that_somebody_spoils_are_put_right(cluster):
    cluster.deploy()
    cluster.serve()
    cluster.settle()
    (held,) = slices(cluster)
    before = endpoints(cluster)
    cluster.store.update(ENDPOINT_SLICES, held | {"endpoints": []})
    cluster.settle()
    assert sorted(endpoints(cluster), key=str) == sorted(before, key=str)
    cluster.store.delete(ENDPOINT_SLICES, "default", slices(cluster)[0]["metadata"]["name"])
    cluster.settle()
    assert sorted(endpoints(cluster), key=str) == sorted(before, key=str)


def test_slices_made_by_hand_for_a_service_without_selector_are_left_alone(cluster):
    cluster.serve(selector=None)
    by_hand = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "by-hand",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.7"]}],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }
    made = cluster.store.create(ENDPOINT_SLICES, by_hand)
    cluster.settle()
    assert slices(cluster) == [made]
    assert "web" not in {e["metadata"]["name"] for e in cluster.all(ENDPOINTS)}


def test_a_service_that_becomes_external_name_keeps_what_it_has_and_follows_no_more(cluster):
    cluster.deploy(replicas=1)
    cluster.serve()
    cluster.settle()
    service = cluster.store.get(SERVICES, "default", "web")
    spec = {"type": "ExternalName", "externalName": "example.org", "selector": {"app": "web"}}
    cluster.store.update(SERVICES, service | {"spec": spec})
    cluster.deploy(replicas=2)
    cluster.settle()
    assert len(endpoints(cluster)) == 1


def test_the_time_of_the_change_is_that_of_the_pod_that_turned(cluster):
    cluster.deploy(replicas=1)
    cluster.serve()
    cluster.settle()
    cluster.pass_time(100)
    cluster.kubelet.makes_ready = lambda _: False
    cluster.settle()
    (held,) = slices(cluster)
    assert held["metadata"]["annotations"] == {
        "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:01:40Z"
    }


def test_nothing_is_left_of_a_deleted_service(cluster):
    cluster.deploy()
    cluster.serve()
    cluster.settle()
    assert slices(cluster)
    assert "web" in {e["metadata"]["name"] for e in cluster.all(ENDPOINTS)}
    cluster.store.delete(SERVICES, "default", "web")
    cluster.settle()
    assert slices(cluster) == []
    assert "web" not in {e["metadata"]["name"] for e in cluster.all(ENDPOINTS)}


def test_two_services_over_the_same_pods_do_not_disturb_each_other(cluster):
    cluster.deploy()
    cluster.serve("web")
    cluster.serve("also", selector={"app": "web"})
    cluster.settle()
    cluster.store.delete(SERVICES, "default", "also")
    cluster.settle()
    assert len(endpoints(cluster)) == 3
    assert slices(cluster, "also") == []


@pytest.mark.parametrize("count", [100, 101, 250])
def test_a_large_service_has_several_slices(cluster, count):
    cluster.deploy(replicas=count)
    cluster.serve()
    cluster.settle()
    assert len(endpoints(cluster)) == count
    assert max(len(s["endpoints"]) for s in slices(cluster)) <= 100
