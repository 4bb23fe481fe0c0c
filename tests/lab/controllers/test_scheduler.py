from collections import Counter

from lab.api.registry import NODES, PODS
from lab.controllers.objects import condition
from lab.controllers.scheduler.placement import place, why_not


def pod(name="p", **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "any"}]} | spec,
    }


def node_of(cluster, name="p"):
    return cluster.store.get(PODS, "default", name)["spec"].get("nodeName")


def test_pods_of_one_owner_are_spread_over_the_nodes(cluster):
    cluster.deploy(replicas=6)
    cluster.settle()
    assert Counter(p["spec"]["nodeName"] for p in cluster.pods()) == {"n1": 3, "n2": 3}


def test_a_pod_goes_where_the_fewest_of_its_kind_are_and_then_where_the_fewest_are(make):
    nodes = [make.node("n1"), make.node("n2"), make.node("n3")]
    owner = [{"kind": "ReplicaSet", "name": "web", "uid": "u", "controller": True}]
    new = pod()
    new["metadata"]["ownerReferences"] = owner
    present = {"n1": [make.pod("a")], "n2": [make.pod("b"), make.pod("c")], "n3": [make.pod("d")]}
    present["n1"][0]["metadata"]["ownerReferences"] = owner
    assert place(new, nodes, lambda name: present[name]).node == "n3"


def test_a_bound_pod_says_that_it_is_scheduled(cluster):
    cluster.store.create(PODS, pod())
    cluster.settle()
    found = condition(cluster.store.get(PODS, "default", "p"), "PodScheduled")
    assert found["status"] == "True"


def test_the_node_that_a_person_has_chosen_is_kept_even_if_it_does_not_exist(cluster):
    cluster.store.create(PODS, pod(nodeName="nowhere"))
    cluster.settle()
    assert node_of(cluster) == "nowhere"


def test_a_node_selector_is_obeyed(cluster):
    cluster.store.create(PODS, pod(nodeSelector={"topology.kubernetes.io/zone": "zb"}))
    cluster.settle()
    assert node_of(cluster) == "n2"


def test_required_node_affinity_is_obeyed(cluster):
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    cluster.store.create(PODS, pod(affinity={"nodeAffinity": required}))
    cluster.settle()
    assert node_of(cluster) == "n2"


def test_a_cordoned_node_gets_no_new_pods(cluster):
    node = cluster.store.get(NODES, "", "n1")
    cluster.store.update(NODES, node | {"spec": node["spec"] | {"unschedulable": True}})
    cluster.deploy()
    cluster.settle()
    assert {p["spec"]["nodeName"] for p in cluster.pods()} == {"n2"}


def test_a_pod_that_fits_nowhere_says_why_and_is_placed_when_a_node_comes(cluster, make):
    cluster.store.create(PODS, pod(nodeSelector={"topology.kubernetes.io/zone": "zc"}))
    cluster.settle()
    found = condition(cluster.store.get(PODS, "default", "p"), "PodScheduled")
    assert (found["status"], found["reason"]) == ("False", "Unschedulable")
    assert found["message"] == ("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.")
    cluster.add_node(make.node("n3", "zc"))
    cluster.settle()
    assert node_of(cluster) == "n3"
    assert condition(cluster.store.get(PODS, "default", "p"), "PodScheduled")["status"] == "True"


def test_nodes_with_taints_take_only_pods_that_tolerate_them(make):
    taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    node = make.node("n1", taints=[taint])
    assert why_not(pod(), node, []) == "node(s) had untolerated taint {dedicated: db}"
    tolerations = [
        {"key": "dedicated", "operator": "Exists"},
        {"key": "dedicated", "value": "db", "effect": "NoSchedule"},
        {"operator": "Exists"},
    ]
    for toleration in tolerations:
        assert why_not(pod(tolerations=[toleration]), node, []) is None
    wrong = {"key": "dedicated", "operator": "Equal", "value": "web"}
    assert why_not(pod(tolerations=[wrong]), node, []) is not None


def test_a_taint_that_only_asks_is_no_obstacle(make):
    taint = {"key": "slow", "effect": "PreferNoSchedule"}
    assert why_not(pod(), make.node("n1", taints=[taint]), []) is None


def test_a_node_that_is_not_ready_takes_no_pods(make):
    assert "not-ready" in why_not(pod(), make.node("n1", ready=False), [])


def test_a_host_port_is_given_once_on_each_node(cluster):
    port = {"containerPort": 80, "hostPort": 8080}
    for name in ("a", "b", "c"):
        cluster.store.create(PODS, pod(name, containers=[{"name": "c", "image": "any", "ports": [port]}]))
    cluster.settle()
    assert sorted(filter(None, (node_of(cluster, name) for name in "abc"))) == ["n1", "n2"]
    loser = next(name for name in "abc" if not node_of(cluster, name))
    cluster.store.delete(PODS, "default", next(name for name in "abc" if node_of(cluster, name) == "n1"))
    cluster.settle()
    assert node_of(cluster, loser) == "n1"


def test_a_pod_of_another_scheduler_is_left_alone(cluster):
    cluster.store.create(PODS, pod(schedulerName="mine"))
    cluster.settle()
    assert node_of(cluster) is None
