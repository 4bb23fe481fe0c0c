from lab.api.registry import PODS, REPLICA_SETS
from lab.controllers.objects import condition, key_of
from lab.controllers.replicaset.victims import victims


def names(pods):
    return [pod["metadata"]["name"] for pod in pods]


def replica_set(make, replicas=3, **spec):
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [make.container(http=80)]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template} | spec,
    }


def bare_pod(make, name, **labels):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [make.container(http=80)]},
    }


def test_it_makes_as_many_pods_as_wanted_and_replaces_the_lost_ones(cluster, make):
    cluster.apply(REPLICA_SETS, replica_set(make))
    cluster.settle()
    first = names(cluster.pods())
    assert len(first) == 3
    assert all(name.startswith("web-") for name in first)
    cluster.store.delete(PODS, "default", first[0])
    cluster.settle()
    assert len(cluster.pods()) == 3
    assert first[0] not in names(cluster.pods())


def test_a_pod_that_is_over_is_replaced_but_stays_to_be_looked_at(cluster, make):
    cluster.apply(REPLICA_SETS, replica_set(make, replicas=1))
    cluster.settle()
    (pod,) = cluster.pods()
    cluster.store.update(PODS, pod | {"status": pod["status"] | {"phase": "Failed"}}, subresource="status")
    cluster.kubelet.makes_ready = lambda p: p["metadata"]["name"] != pod["metadata"]["name"]
    cluster.runner.settle()
    assert len(cluster.pods()) == 2


def test_its_status_counts_what_there_is(cluster, make):
    cluster.apply(REPLICA_SETS, replica_set(make))
    cluster.kubelet.makes_ready = lambda pod: pod["spec"]["nodeName"] == "n1"
    cluster.settle()
    status = cluster.store.get(REPLICA_SETS, "default", "web")["status"]
    ready = sum(pod["spec"]["nodeName"] == "n1" for pod in cluster.pods())
    assert status["replicas"] == status["fullyLabeledReplicas"] == 3
    assert status["readyReplicas"] == status["availableReplicas"] == ready
    assert status["observedGeneration"] == 1


def test_a_pod_is_available_only_after_min_ready_seconds(cluster, make):
    cluster.apply(REPLICA_SETS, replica_set(make, minReadySeconds=10))
    cluster.settle()

    def available():
        return cluster.store.get(REPLICA_SETS, "default", "web")["status"].get("availableReplicas", 0)

    assert available() == 0
    cluster.pass_time(9)
    assert available() == 0
    cluster.pass_time(1)
    assert available() == 3


def test_it_adopts_pods_that_match_and_have_no_owner(cluster, make):
    cluster.store.create(PODS, bare_pod(make, "orphan", app="web"))
    cluster.store.create(PODS, bare_pod(make, "stranger", app="other"))
    cluster.apply(REPLICA_SETS, replica_set(make, replicas=2))
    cluster.settle()
    pods = {pod["metadata"]["name"]: pod for pod in cluster.pods()}
    assert len(pods) == 3
    assert pods["orphan"]["metadata"]["ownerReferences"][0]["name"] == "web"
    assert "ownerReferences" not in pods["stranger"]["metadata"]


def test_it_lets_go_of_a_pod_that_is_relabelled_and_makes_a_new_one(cluster, make):
    cluster.apply(REPLICA_SETS, replica_set(make, replicas=1))
    cluster.settle()
    (pod,) = cluster.pods()
    cluster.store.update(PODS, pod | {"metadata": pod["metadata"] | {"labels": {"app": "under-the-knife"}}})
    cluster.settle()
    pods = {p["metadata"]["name"]: p for p in cluster.pods()}
    assert len(pods) == 2
    assert not pods[pod["metadata"]["name"]]["metadata"].get("ownerReferences")


def test_its_pods_go_with_it(cluster, make):
    cluster.apply(REPLICA_SETS, replica_set(make))
    cluster.settle()
    cluster.store.delete(REPLICA_SETS, "default", "web")
    cluster.settle()
    assert cluster.pods() == []


def test_it_says_why_it_cannot_make_pods_and_tries_again(cluster, make, monkeypatch):
    create = cluster.store.create
    broken = True

    def refusing(resource, obj, **options):
        if broken and resource is PODS:
            return create(resource, obj | {"spec": {"containers": []}}, **options)
        return create(resource, obj, **options)

    monkeypatch.setattr(cluster.store, "create", refusing)
    cluster.apply(REPLICA_SETS, replica_set(make))
    cluster.settle()
    failure = condition(cluster.store.get(REPLICA_SETS, "default", "web"), "ReplicaFailure")
    assert failure["reason"] == "FailedCreate"
    assert "spec.containers" in failure["message"]
    broken = False
    cluster.pass_time(60)
    assert len(cluster.pods()) == 3
    assert condition(cluster.store.get(REPLICA_SETS, "default", "web"), "ReplicaFailure") is None


def test_those_that_serve_least_go_first(make):
    pods = [
        make.pod("ready", "10.0.0.1"),
        make.pod("not-ready", "10.0.0.2", ready=False),
        make.pod("pending", phase="Pending", ready=False),
        make.pod("unscheduled", phase="Pending", ready=False, node=""),
    ]
    assert names(victims(pods, 4)) == ["unscheduled", "pending", "not-ready", "ready"]


def test_people_may_name_the_cheapest_to_lose(make):
    cheap = make.pod("cheap", "10.0.0.1")
    cheap["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    assert names(victims([make.pod("a", "10.0.0.2"), cheap], 1)) == ["cheap"]


def test_of_equals_those_on_the_most_crowded_node_go_first_and_then_the_youngest(make):
    pods = [make.pod("a", node="n1"), make.pod("b", node="n2"), make.pod("c", node="n2")]
    pods[2]["metadata"]["creationTimestamp"] = "2026-01-01T00:05:00Z"
    assert names(victims(pods, 3, pods)) == ["c", "b", "a"]


def test_who_has_served_longest_stays(make):
    pods = [make.pod("new"), make.pod("old")]
    pods[0]["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:09:00Z"
    assert names(victims(pods, 1)) == ["new"]


def test_scaling_down_keeps_the_ready_pods(cluster, make):
    cluster.kubelet.makes_ready = lambda pod: pod["metadata"]["name"] in keep
    keep = set()
    cluster.apply(REPLICA_SETS, replica_set(make, replicas=4))
    cluster.settle()
    keep.update(names(cluster.pods())[1:3])
    cluster.settle()
    cluster.apply(REPLICA_SETS, replica_set(make, replicas=2))
    cluster.settle()
    assert {key_of(pod).name for pod in cluster.pods()} == keep


def test_of_equals_the_one_that_was_restarted_most_goes_first(make):
    pods = [make.pod("steady"), make.pod("unsteady")]
    pods[1]["status"]["containerStatuses"] = [{"name": "c", "restartCount": 4}]
    assert names(victims(pods, 1)) == ["unsteady"]
