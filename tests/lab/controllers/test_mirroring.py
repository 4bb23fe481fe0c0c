import pytest

from lab.api.registry import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from lab.controllers.mirroring.slices import groups_of


def by_hand(*subsets, name="web", **labels):
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "subsets": list(subsets),
    }


def subset(*ips, not_ready=(), port=80):
    found = {"addresses": [{"ip": ip} for ip in ips], "ports": [{"name": "http", "port": port}]}
    if not_ready:
        found["notReadyAddresses"] = [{"ip": ip} for ip in not_ready]
    return found


def mirrored(cluster):
    """(address type, port, address, ready) of every endpoint."""
    return sorted(
        (s["addressType"], s["ports"][0]["port"], e["addresses"][0], e["conditions"]["ready"])
        for s in cluster.all(ENDPOINT_SLICES)
        for e in s["endpoints"]
    )


def test_endpoints_made_by_hand_become_slices(cluster):
    cluster.serve(selector=None)
    cluster.store.create(ENDPOINTS, by_hand(subset("192.0.2.1", not_ready=["192.0.2.2"])))
    cluster.settle()
    assert mirrored(cluster) == [("IPv4", 80, "192.0.2.1", True), ("IPv4", 80, "192.0.2.2", False)]
    (made,) = cluster.all(ENDPOINT_SLICES)
    assert made["metadata"]["labels"] == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }
    assert made["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"


def test_families_and_ports_are_kept_apart_and_equal_ports_together():
    subsets = [subset("192.0.2.1"), subset("192.0.2.2", "2001:db8::1"), subset("192.0.2.3", port=81)]
    groups = groups_of(by_hand(*subsets))
    assert sorted((g.address_type, g.ports[0].port, len(g.endpoints)) for g in groups) == [
        ("IPv4", 80, 2),
        ("IPv4", 81, 1),
        ("IPv6", 80, 1),
    ]


def test_slices_follow_the_endpoints_and_go_with_them(cluster):
    cluster.serve(selector=None)
    cluster.store.create(ENDPOINTS, by_hand(subset("192.0.2.1")))
    cluster.settle()
    cluster.store.update(ENDPOINTS, by_hand(subset("192.0.2.9")))
    cluster.settle()
    assert mirrored(cluster) == [("IPv4", 80, "192.0.2.9", True)]
    cluster.store.delete(ENDPOINTS, "default", "web")
    cluster.settle()
    assert cluster.all(ENDPOINT_SLICES) == []


def test_when_the_service_goes_both_go(cluster):
    cluster.serve(selector=None)
    cluster.store.create(ENDPOINTS, by_hand(subset("192.0.2.1")))
    cluster.settle()
    cluster.store.delete(SERVICES, "default", "web")
    cluster.settle()
    assert cluster.all(ENDPOINT_SLICES) == []
    assert cluster.all(ENDPOINTS) == []


@pytest.mark.parametrize("service", [{"selector": {"app": "web"}}, None])
def test_endpoints_of_a_service_with_selector_or_of_none_are_not_mirrored(cluster, service):
    if service:
        cluster.serve(**service)
    cluster.store.create(ENDPOINTS, by_hand(subset("192.0.2.1")))
    cluster.settle()
    assert mirrored(cluster) == []


@pytest.mark.parametrize(
    "marks",
    [
        {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}},
    ],
)
def test_endpoints_that_say_so_and_those_that_are_locks_are_not_mirrored(cluster, marks):
    cluster.serve(selector=None)
    endpoints = by_hand(subset("192.0.2.1"))
    endpoints["metadata"] |= marks
    cluster.store.create(ENDPOINTS, endpoints)
    cluster.settle()
    assert mirrored(cluster) == []
