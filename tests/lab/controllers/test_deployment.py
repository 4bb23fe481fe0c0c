import pytest

from lab.api.registry import DEPLOYMENTS, PODS, REPLICA_SETS
from lab.controllers.objects import condition


def progressing(cluster):
    found = condition(cluster.deployment(), "Progressing")
    return found["status"], found["reason"]


def counts(cluster):
    status = cluster.deployment()["status"]
    fields = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
    return tuple(status.get(field, 0) for field in fields)


def ready_images(cluster):
    return sorted(
        pod["spec"]["containers"][0]["image"]
        for pod in cluster.pods()
        if (condition(pod, "Ready") or {}).get("status") == "True" and "deletionTimestamp" not in pod["metadata"]
    )


def test_a_deployment_makes_a_replica_set_whose_name_and_pods_carry_the_hash(cluster):
    cluster.deploy()
    cluster.settle()
    (replica_set,) = cluster.all(REPLICA_SETS)
    word = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"web-{word}"
    assert replica_set["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": word}
    assert len(cluster.pods()) == 3
    for pod in cluster.pods():
        assert pod["metadata"]["name"].startswith(f"web-{word}-")
        assert pod["metadata"]["labels"] == {"app": "web", "pod-template-hash": word}


def test_its_status_is_what_kubectl_rollout_status_reads(cluster):
    cluster.deploy()
    cluster.runner.settle()
    assert counts(cluster) == (3, 3, 0, 0, 3)
    assert progressing(cluster) == ("True", "ReplicaSetUpdated")
    assert condition(cluster.deployment(), "Available")["reason"] == "MinimumReplicasUnavailable"
    cluster.settle()
    assert counts(cluster) == (3, 3, 3, 3, 0)
    assert progressing(cluster) == ("True", "NewReplicaSetAvailable")
    assert condition(cluster.deployment(), "Available")["status"] == "True"
    assert cluster.deployment()["status"]["observedGeneration"] == 1


def test_a_deployment_at_rest_is_left_alone(cluster):
    cluster.deploy()
    cluster.serve()
    cluster.settle()
    version = cluster.store.version
    cluster.pass_time(3600)
    assert cluster.store.version == version


def test_a_new_image_replaces_the_pods_within_the_limits(cluster):
    cluster.deploy(replicas=4)
    cluster.settle()
    cluster.deploy(replicas=4, image="v2")
    for _ in range(20):
        cluster.step()
        assert len([p for p in cluster.pods() if "deletionTimestamp" not in p["metadata"]]) <= 5
        assert len(ready_images(cluster)) >= 3
    assert cluster.replica_sets() == {"v1": 0, "v2": 4}
    assert ready_images(cluster) == ["v2"] * 4
    assert progressing(cluster) == ("True", "NewReplicaSetAvailable")


def test_pods_that_never_become_ready_stop_the_rollout_and_the_old_ones_serve_on(cluster):
    cluster.deploy(replicas=4, progressDeadlineSeconds=60)
    cluster.settle()
    cluster.kubelet.makes_ready = lambda pod: pod["spec"]["containers"][0]["image"] != "broken"
    cluster.deploy(replicas=4, image="broken")
    cluster.settle()
    assert cluster.replica_sets() == {"v1": 3, "broken": 2}
    assert ready_images(cluster) == ["v1"] * 3
    cluster.pass_time(59)
    assert progressing(cluster) == ("True", "ReplicaSetUpdated")
    cluster.pass_time(2)
    assert progressing(cluster) == ("False", "ProgressDeadlineExceeded")


def test_going_back_uses_the_old_replica_set_again_under_a_new_revision(cluster):
    for image in ("v1", "broken", "v1"):
        cluster.deploy(image=image)
        cluster.settle()
    assert cluster.replica_sets() == {"v1": 3, "broken": 0}
    revision = "deployment.kubernetes.io/revision"
    revisions = {
        rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs["metadata"]["annotations"]
        for rs in cluster.all(REPLICA_SETS)
    }
    assert (revisions["v1"][revision], revisions["broken"][revision]) == ("3", "2")
    assert revisions["v1"]["deployment.kubernetes.io/revision-history"] == "1"
    assert cluster.deployment()["metadata"]["annotations"][revision] == "3"
    assert progressing(cluster) == ("True", "NewReplicaSetAvailable")


def test_a_rollout_of_an_earlier_template_is_not_stuck_because_it_was_long_ago(cluster):
    cluster.deploy(image="v1")
    cluster.settle()
    cluster.deploy(image="v2")
    cluster.settle()
    cluster.pass_time(100_000)
    cluster.deploy(image="v1")
    cluster.runner.settle()
    assert progressing(cluster)[0] == "True"


def test_recreate_lets_all_old_pods_go_before_the_first_new_one_comes(cluster):
    recreate = {"type": "Recreate"}
    cluster.deploy(strategy=recreate)
    cluster.settle()
    cluster.kubelet.lets_go = lambda _: False
    cluster.deploy(image="v2", strategy=recreate)
    cluster.settle()
    assert {pod["spec"]["containers"][0]["image"] for pod in cluster.pods()} == {"v1"}
    assert all("deletionTimestamp" in pod["metadata"] for pod in cluster.pods())
    cluster.kubelet.lets_go = lambda _: True
    cluster.settle()
    assert ready_images(cluster) == ["v2"] * 3


@pytest.mark.parametrize("size", [5, 1, 0])
def test_scaling_changes_the_number_and_not_the_revision(cluster, size):
    cluster.deploy()
    cluster.settle()
    cluster.deploy(replicas=size)
    cluster.settle()
    assert cluster.replica_sets() == {"v1": size}
    assert counts(cluster) == (size, size, size, size, 0)
    assert cluster.deployment()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert progressing(cluster) == ("True", "NewReplicaSetAvailable")


def test_a_paused_deployment_scales_but_does_not_roll(cluster):
    cluster.deploy()
    cluster.settle()
    cluster.deploy(paused=True, replicas=4, image="v2")
    cluster.settle()
    assert cluster.replica_sets() == {"v1": 4}
    assert progressing(cluster) == ("Unknown", "DeploymentPaused")
    cluster.deploy(paused=False, replicas=4, image="v2")
    cluster.settle()
    assert cluster.replica_sets() == {"v1": 0, "v2": 4}
    assert progressing(cluster) == ("True", "NewReplicaSetAvailable")


def test_old_replica_sets_are_forgotten_beyond_the_history_limit(cluster):
    for image in ("v1", "v2", "v3", "v4", "v5"):
        cluster.deploy(image=image, revisionHistoryLimit=2)
        cluster.settle()
    assert cluster.replica_sets() == {"v3": 0, "v4": 0, "v5": 3}


def test_min_ready_seconds_slows_a_rollout_down(cluster):
    cluster.deploy(replicas=1)
    cluster.settle()
    cluster.deploy(replicas=1, image="v2", minReadySeconds=30)
    cluster.settle()
    assert ready_images(cluster) == ["v1", "v2"]
    cluster.pass_time(30)
    assert ready_images(cluster) == ["v2"]


def test_a_replica_set_with_the_same_hash_but_another_template_is_not_taken(cluster):
    cluster.deploy()
    cluster.settle()
    (original,) = cluster.all(REPLICA_SETS)
    cluster.store.delete(DEPLOYMENTS, "default", "web")
    cluster.settle()
    stranger = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": original["metadata"]["name"], "namespace": "default"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "stranger"}},
            "template": {
                "metadata": {"labels": {"app": "stranger"}},
                "spec": original["spec"]["template"]["spec"],
            },
        },
    }
    cluster.store.create(REPLICA_SETS, stranger)
    cluster.deploy()
    cluster.settle()
    assert cluster.deployment()["status"]["collisionCount"] == 1
    assert len(ready_images(cluster)) == 3


def test_a_replica_set_that_was_orphaned_is_adopted_with_its_pods(cluster):
    cluster.deploy()
    cluster.settle()
    before = {pod["metadata"]["uid"] for pod in cluster.pods()}
    cluster.store.delete(DEPLOYMENTS, "default", "web", propagation="Orphan")
    cluster.settle()
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} == before
    cluster.deploy()
    cluster.settle()
    assert {pod["metadata"]["uid"] for pod in cluster.pods()} == before
    assert counts(cluster) == (3, 3, 3, 3, 0)


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_nothing_is_left_of_a_deleted_deployment(cluster, propagation):
    cluster.deploy()
    cluster.settle()
    cluster.store.delete(DEPLOYMENTS, "default", "web", propagation=propagation)
    cluster.settle()
    assert [cluster.all(kind) for kind in (DEPLOYMENTS, REPLICA_SETS, PODS)] == [[], [], []]
