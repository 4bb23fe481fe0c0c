from lab.api.registry import CORE_EVENTS, ENDPOINT_SLICES, NODES, PODS, SERVICES
from lab.controllers.events import NORMAL, EventRecorder


def told(cluster, kind):
    return sorted(
        (event["reason"], event["message"])
        for event in cluster.all(CORE_EVENTS)
        if event["involvedObject"]["kind"] == kind
    )


def test_a_rollout_can_be_followed_in_the_events(cluster):
    cluster.deploy(replicas=1)
    cluster.settle()
    (pod,) = cluster.pods()
    name = pod["metadata"]["name"]
    owner = name.rpartition("-")[0]
    assert told(cluster, "Deployment") == [("ScalingReplicaSet", f"Scaled up replica set {owner} from 0 to 1")]
    assert told(cluster, "ReplicaSet") == [("SuccessfulCreate", f"Created pod: {name}")]
    assert told(cluster, "Pod") == [("Scheduled", f"Successfully assigned default/{name} to {pod['spec']['nodeName']}")]


def test_a_pod_that_fits_nowhere_has_a_warning(cluster):
    for name in ("n1", "n2"):
        node = cluster.store.get(NODES, "", name)
        cluster.store.update(NODES, node | {"spec": node["spec"] | {"unschedulable": True}})
    cluster.deploy(replicas=1)
    cluster.settle()
    assert told(cluster, "Pod") == [("FailedScheduling", "0/2 nodes are available: 2 node(s) were unschedulable.")]


def test_the_same_news_again_only_raises_a_count(cluster):
    cluster.deploy(replicas=1)
    cluster.settle()
    (pod,) = cluster.pods()
    recorder = EventRecorder(cluster.store, cluster.now, "tester")
    for _ in range(3):
        recorder.record(PODS, pod, NORMAL, "Tested", "It still works")
    (event,) = (e for e in cluster.all(CORE_EVENTS) if e["reason"] == "Tested")
    assert (event["count"], event["source"]) == (3, {"component": "tester"})


def test_only_so_many_events_are_kept(cluster, monkeypatch):
    monkeypatch.setattr("lab.controllers.events.REMEMBERED", 3)
    node = cluster.store.get(NODES, "", "n1")
    recorder = EventRecorder(cluster.store, cluster.now, "tester")
    for number in range(5):
        recorder.record(NODES, node, NORMAL, "Tested", str(number))
    assert sorted(e["message"] for e in cluster.all(CORE_EVENTS)) == ["2", "3", "4"]


def test_a_service_that_wants_proportional_hints_is_told_why_it_gets_none(cluster):
    cluster.deploy(replicas=1)
    cluster.serve()
    service = cluster.store.get(SERVICES, "default", "web")
    wish = {"service.kubernetes.io/topology-mode": "Auto"}
    cluster.store.update(SERVICES, service | {"metadata": service["metadata"] | {"annotations": wish}})
    cluster.settle()
    assert {reason for reason, _ in told(cluster, "Service")} == {"TopologyAwareHintsDisabled"}
    cluster.deploy(replicas=2)
    cluster.settle()
    hints = [e["hints"] for s in cluster.all(ENDPOINT_SLICES) for e in s["endpoints"]]
    assert sorted(zone["name"] for h in hints for zone in h["forZones"]) == ["za", "zb"]
