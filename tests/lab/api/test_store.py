"""The store by itself: versions, conflicts, generations, deletion."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lab.api.errors import ApiError
from lab.api.patches import Kind
from lab.api.registry import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, NODES, PODS, SERVICES
from lab.api.schema import copied
from lab.api.selectors import FieldSelector, Selector
from lab.api.store import Store

POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
DEPLOYMENT = {
    "metadata": {"name": "d"},
    "spec": {
        "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
}


def config_map(name: str = "c", **data: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "data": data}


def test_a_new_cluster_has_the_usual_namespaces(store: Store) -> None:
    names = [namespace["metadata"]["name"] for namespace in store.list(NAMESPACES)[0]]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]


def test_every_change_of_any_object_takes_the_next_version(store: Store) -> None:
    first = store.create(CONFIG_MAPS, config_map("a"))["metadata"]["resourceVersion"]
    second = store.create(NODES, {"metadata": {"name": "n"}})["metadata"]["resourceVersion"]
    third = store.delete(CONFIG_MAPS, "default", "a")["metadata"]["resourceVersion"]
    assert [int(second) - int(first), int(third) - int(second)] == [1, 1]


def test_what_a_caller_handed_in_stays_the_callers(store: Store) -> None:
    mine = config_map("a", key="old")
    store.create(CONFIG_MAPS, mine)
    mine["data"] = {"key": "new"}
    assert store.get(CONFIG_MAPS, "default", "a")["data"] == {"key": "old"}
    assert "uid" not in mine["metadata"]  # type: ignore[operator]


def test_an_update_without_any_difference_writes_nothing(store: Store) -> None:
    before = store.create(CONFIG_MAPS, config_map("a", key="x"))
    assert store.update(CONFIG_MAPS, before) == before
    assert store.version == int(before["metadata"]["resourceVersion"])


def test_an_update_of_an_old_version_is_a_conflict(store: Store) -> None:
    old = store.create(CONFIG_MAPS, config_map("a", key="1"))
    store.update(CONFIG_MAPS, copied(old) | {"data": {"key": "2"}})
    with pytest.raises(ApiError, match="the object has been modified") as refused:
        store.update(CONFIG_MAPS, copied(old) | {"data": {"key": "3"}})
    assert (refused.value.code, refused.value.reason) == (409, "Conflict")


def test_an_update_without_a_version_replaces_whatever_is_there(store: Store) -> None:
    store.create(CONFIG_MAPS, config_map("a", key="1"))
    assert store.update(CONFIG_MAPS, config_map("a", key="2"))["data"] == {"key": "2"}


def test_the_same_name_twice_exists_already(store: Store) -> None:
    store.create(CONFIG_MAPS, config_map("a"))
    with pytest.raises(ApiError, match='configmaps "a" already exists'):
        store.create(CONFIG_MAPS, config_map("a"))


def test_a_namespace_must_exist(store: Store) -> None:
    with pytest.raises(ApiError, match='namespaces "nowhere" not found'):
        store.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "nowhere"}})


def test_generate_name_makes_distinct_names(store: Store) -> None:
    names = {store.create(CONFIG_MAPS, {"metadata": {"generateName": "web-"}})["metadata"]["name"] for _ in range(50)}
    assert len(names) == 50
    assert all(len(name) == len("web-") + 5 and name.startswith("web-") for name in names)


def test_a_dry_run_answers_but_stores_nothing(store: Store) -> None:
    version = store.version
    service = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], "clusterIP": "10.96.0.7"}}
    assert store.create(SERVICES, service, dry_run=True)["spec"]["clusterIP"] == "10.96.0.7"
    assert store.version == version
    assert store.create(SERVICES, service)["spec"]["clusterIP"] == "10.96.0.7"  # it was not taken


def test_the_generation_counts_changes_of_the_spec_only(store: Store) -> None:
    made = store.create(DEPLOYMENTS, DEPLOYMENT)
    assert made["metadata"]["generation"] == 1
    scaled = copied(made)
    scaled["spec"]["replicas"] = 3
    assert store.update(DEPLOYMENTS, scaled)["metadata"]["generation"] == 2
    labelled = copied(store.get(DEPLOYMENTS, "default", "d"))
    labelled["metadata"]["labels"] = {"x": "y"}
    assert store.update(DEPLOYMENTS, labelled)["metadata"]["generation"] == 2


def test_status_and_spec_are_written_apart(store: Store) -> None:
    made = copied(store.create(DEPLOYMENTS, DEPLOYMENT | {"status": {"replicas": 7}}))
    assert made["status"] == {}
    made["status"] = {"replicas": 2}
    made["spec"]["replicas"] = 9
    after = store.update(DEPLOYMENTS, made, subresource="status")
    assert (after["status"], after["spec"]["replicas"]) == ({"replicas": 2}, 1)
    after = store.update(DEPLOYMENTS, copied(after) | {"status": {}, "spec": made["spec"]})
    assert (after["status"], after["spec"]["replicas"]) == ({"replicas": 2}, 9)


def test_a_node_brings_its_status_along(store: Store) -> None:
    status = {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}
    assert store.create(NODES, {"metadata": {"name": "n"}, "status": status})["status"] == status


def test_what_the_server_set_can_not_be_changed(store: Store) -> None:
    made = store.create(CONFIG_MAPS, config_map("a"))
    meddled = copied(made)
    meddled["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z"
    assert store.update(CONFIG_MAPS, meddled) == made


def test_an_unknown_field_is_refused_with_its_path(store: Store) -> None:
    with pytest.raises(ApiError) as refused:
        store.create(SERVICES, {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80, "portz": 1}]}})
    assert str(refused.value).endswith('strict decoding error: unknown field "spec.ports[0].portz"')


def test_unknown_fields_can_be_collected_instead(store: Store) -> None:
    unknown: list[str] = []
    made = store.create(CONFIG_MAPS, {"metadata": {"name": "a"}, "dato": {}}, unknown=unknown)
    assert unknown == ["dato"]
    assert "dato" not in made


def test_a_value_of_the_wrong_type_is_refused_with_its_path(store: Store) -> None:
    with pytest.raises(
        ApiError, match=r"cannot unmarshal string into Go struct field ServicePort\.spec\.ports\[0\]\.port"
    ):
        store.create(SERVICES, {"metadata": {"name": "web"}, "spec": {"ports": [{"port": "80"}]}})


def test_a_list_is_ordered_and_selects_by_namespace_labels_and_fields(store: Store) -> None:
    for name, namespace in (("b", "kube-public"), ("a", "kube-public"), ("c", "default")):
        store.create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": namespace, "labels": {"is": name}}})
    assert [o["metadata"]["name"] for o in store.list(CONFIG_MAPS)[0]] == ["c", "a", "b"]
    assert [o["metadata"]["name"] for o in store.list(CONFIG_MAPS, "kube-public")[0]] == ["a", "b"]
    assert [o["metadata"]["name"] for o in store.list(CONFIG_MAPS, labels=Selector.parse("is notin (a,c)"))[0]] == ["b"]
    chosen, _ = store.list(CONFIG_MAPS, fields=FieldSelector.parse("metadata.namespace!=default,metadata.name=a"))
    assert [o["metadata"]["name"] for o in chosen] == ["a"]


class TestDeletion:
    def test_a_pod_on_a_node_waits_for_its_kubelet(self, store: Store) -> None:
        store.create(PODS, {**POD, "spec": POD["spec"] | {"nodeName": "n1"}})
        leaving = store.delete(PODS, "default", "p")
        assert leaving["metadata"]["deletionGracePeriodSeconds"] == 30
        assert store.get(PODS, "default", "p") is leaving
        store.delete(PODS, "default", "p", grace_seconds=0)
        with pytest.raises(ApiError, match='pods "p" not found'):
            store.get(PODS, "default", "p")

    def test_the_deadline_of_a_pod_can_only_come_nearer(self) -> None:
        store = Store(clock=lambda: datetime(2030, 1, 1, tzinfo=UTC))
        store.create(PODS, {**POD, "spec": POD["spec"] | {"nodeName": "n1"}})
        store.delete(PODS, "default", "p", grace_seconds=10)
        assert store.delete(PODS, "default", "p", grace_seconds=60)["metadata"]["deletionGracePeriodSeconds"] == 10
        sooner = store.delete(PODS, "default", "p", grace_seconds=5)["metadata"]
        assert sooner["deletionTimestamp"] == "2030-01-01T00:00:05Z"

    def test_a_pod_without_a_node_goes_at_once(self, store: Store) -> None:
        store.create(PODS, POD)
        store.delete(PODS, "default", "p")
        assert store.list(PODS)[0] == []

    def test_finalizers_keep_an_object_until_the_last_one_is_taken_off(self, store: Store) -> None:
        store.create(CONFIG_MAPS, {"metadata": {"name": "a", "finalizers": ["example.com/a", "example.com/b"]}})
        leaving = copied(store.delete(CONFIG_MAPS, "default", "a"))
        assert "deletionTimestamp" in leaving["metadata"]
        leaving["metadata"]["finalizers"].pop()
        leaving = copied(store.update(CONFIG_MAPS, leaving))
        del leaving["metadata"]["finalizers"]
        store.update(CONFIG_MAPS, leaving)
        assert store.list(CONFIG_MAPS)[0] == []

    def test_preconditions_must_hold(self, store: Store) -> None:
        made = store.create(CONFIG_MAPS, config_map("a"))
        with pytest.raises(ApiError, match="UID in precondition"):
            store.delete(CONFIG_MAPS, "default", "a", uid="other")
        with pytest.raises(ApiError, match="ResourceVersion in precondition"):
            store.delete(CONFIG_MAPS, "default", "a", version="1")
        store.delete(CONFIG_MAPS, "default", "a", uid=made["metadata"]["uid"])
        assert store.list(CONFIG_MAPS)[0] == []

    def test_the_namespaces_that_the_cluster_lives_in_stay(self, store: Store) -> None:
        with pytest.raises(ApiError, match='namespaces "default" is forbidden: this namespace may not be deleted'):
            store.delete(NAMESPACES, "", "default")


class TestApply:
    def test_a_part_of_an_object_is_enough_once_it_exists(self, store: Store) -> None:
        store.create(DEPLOYMENTS, DEPLOYMENT)
        after = store.apply(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": {"replicas": 4}}, manager="m")
        assert (after["spec"]["replicas"], after["spec"]["selector"]) == (4, {"matchLabels": {"app": "a"}})

    def test_it_creates_what_is_not_there(self, store: Store) -> None:
        assert store.apply(CONFIG_MAPS, config_map("a", key="1"), manager="m")["data"] == {"key": "1"}

    def test_what_a_manager_leaves_out_the_next_time_goes(self, store: Store) -> None:
        store.apply(CONFIG_MAPS, config_map("a", mine="1", other="1"), manager="m")
        store.patch(CONFIG_MAPS, "default", "a", {"data": {"theirs": "2"}}, Kind.MERGE)
        after = store.apply(CONFIG_MAPS, config_map("a", mine="3"), manager="m")
        assert after["data"] == {"mine": "3", "theirs": "2"}

    def test_entries_of_lists_go_by_their_key(self, store: Store) -> None:
        ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
        service = {"metadata": {"name": "web"}, "spec": {"ports": ports}}
        store.apply(SERVICES, service, manager="m")
        service["spec"] = {"ports": ports[1:]}
        after = store.apply(SERVICES, service, manager="m")
        assert [port["name"] for port in after["spec"]["ports"]] == ["b"]
