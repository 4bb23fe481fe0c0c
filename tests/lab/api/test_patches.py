"""The three kinds of patches, and the merge behind server-side apply."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.api.errors import ApiError
from lab.api.kinds.apps import DEPLOYMENT
from lab.api.kinds.meta import CONDITION, conditions
from lab.api.kinds.service import SERVICE
from lab.api.patches import Kind, apply
from lab.api.patches.applied import applied
from lab.api.patches.merge import merge_patch
from lab.api.patches.strategic import strategic_merge
from lab.api.schema import copied, record

VALUES = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def service(*ports: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"ports": list(ports), **more}}


class TestMergePatch:
    # The examples of RFC 7386, appendix A.
    EXAMPLES = (
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    )

    @pytest.mark.parametrize(("value", "patch", "result"), EXAMPLES)
    def test_the_examples_of_the_rfc(self, value: Any, patch: Any, result: Any) -> None:
        assert merge_patch(value, patch) == result


class TestJsonPatch:
    def patched(self, value: Any, *operations: dict[str, Any]) -> Any:
        return apply(Kind.JSON, SERVICE, value, list(operations))

    def test_every_operation(self) -> None:
        value = {"a": [1, 3], "b": {"c": "d"}, "e~/": 5}
        assert self.patched(
            value,
            {"op": "test", "path": "/a/0", "value": 1},
            {"op": "add", "path": "/a/1", "value": 2},
            {"op": "add", "path": "/a/-", "value": 4},
            {"op": "replace", "path": "/b/c", "value": {"x": 1}},
            {"op": "copy", "from": "/b/c", "path": "/f"},
            {"op": "move", "from": "/b/c/x", "path": "/g"},
            {"op": "remove", "path": "/e~0~1"},
        ) == {"a": [1, 2, 3, 4], "b": {"c": {}}, "f": {"x": 1}, "g": 1}
        assert value == {"a": [1, 3], "b": {"c": "d"}, "e~/": 5}

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "test", "path": "/a", "value": 2},
            {"op": "remove", "path": "/missing"},
            {"op": "replace", "path": "/missing", "value": 1},
            {"op": "add", "path": "/list/7", "value": 1},
            {"op": "add", "path": "/a/b", "value": 1},
            {"op": "add", "path": "a", "value": 1},
            {"op": "grow", "path": "/a", "value": 1},
            {"op": "add", "path": "/b"},
            {"op": "add", "path": 5, "value": 1},
            {"op": "copy", "from": None, "path": "/b"},
            {"op": [], "path": "/a"},
            "nonsense",
        ],
    )
    def test_what_can_not_be_done_is_refused(self, operation: Any) -> None:
        with pytest.raises(ApiError) as refused:
            self.patched({"a": 1, "list": []}, operation)
        assert refused.value.code == 422

    def test_a_patch_that_is_no_list_is_a_bad_request(self) -> None:
        with pytest.raises(ApiError, match="expected a list"):
            apply(Kind.JSON, SERVICE, {}, {"op": "add"})


class TestStrategicMerge:
    def test_ports_of_a_service_merge_by_their_number(self) -> None:
        before = service({"port": 80, "name": "a"}, {"port": 81, "name": "b"})
        patch = service({"port": 81, "targetPort": 8081}, {"port": 82, "name": "c"})
        assert strategic_merge(SERVICE, before, patch)["spec"]["ports"] == [
            {"port": 80, "name": "a"},
            {"port": 81, "name": "b", "targetPort": 8081},
            {"port": 82, "name": "c"},
        ]

    def test_one_number_under_two_protocols_is_told_apart(self) -> None:
        before = service({"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"})
        patch = service({"port": 53, "protocol": "TCP", "nodePort": 30053})
        assert strategic_merge(SERVICE, before, patch)["spec"]["ports"] == [
            {"port": 53, "protocol": "UDP"},
            {"port": 53, "protocol": "TCP", "nodePort": 30053},
        ]

    def test_entries_can_be_deleted_or_all_replaced(self) -> None:
        before = service({"port": 80}, {"port": 81})
        deleted = strategic_merge(SERVICE, before, service({"$patch": "delete", "port": 80}))
        assert deleted["spec"]["ports"] == [{"port": 81}]
        replaced = strategic_merge(SERVICE, before, service({"$patch": "replace"}, {"port": 9}))
        assert replaced["spec"]["ports"] == [{"port": 9}]

    def test_null_removes_and_maps_merge(self) -> None:
        before = service(selector={"app": "web", "old": "x"}, sessionAffinity="ClientIP")
        patch = {"spec": {"selector": {"old": None, "new": "y"}, "sessionAffinity": None}}
        assert strategic_merge(SERVICE, before, patch) == service(selector={"app": "web", "new": "y"})

    def test_a_map_can_be_replaced_whole(self) -> None:
        before = service(selector={"app": "web", "old": "x"})
        patch = {"spec": {"selector": {"$patch": "replace", "app": "db"}}}
        assert strategic_merge(SERVICE, before, patch) == service(selector={"app": "db"})

    def test_lists_without_a_key_are_replaced(self) -> None:
        before = service(externalIPs=["192.0.2.1"])
        assert strategic_merge(SERVICE, before, {"spec": {"externalIPs": ["192.0.2.2"]}}) == service(
            externalIPs=["192.0.2.2"]
        )

    def test_sets_grow_and_shrink(self) -> None:
        before = {"metadata": {"finalizers": ["a", "b"]}}
        patch = {"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}}
        assert strategic_merge(SERVICE, before, patch) == {"metadata": {"finalizers": ["b", "c"]}}

    def test_retained_keys_drop_the_others(self) -> None:
        before = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
        patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
        assert strategic_merge(DEPLOYMENT, before, patch) == {"spec": {"strategy": {"type": "Recreate"}}}

    def test_the_wanted_order_is_kept_and_others_stay_among_them(self) -> None:
        before = service({"port": 1}, {"port": 2}, {"port": 3})
        patch = {"spec": {"$setElementOrder/ports": [{"port": 3}, {"port": 4}, {"port": 1}], "ports": [{"port": 4}]}}
        ports = [port["port"] for port in strategic_merge(SERVICE, before, patch)["spec"]["ports"]]
        assert [port for port in ports if port != 2] == [3, 4, 1]
        assert sorted(ports) == [1, 2, 3, 4]

    def test_containers_merge_by_name_deep_inside_a_template(self) -> None:
        def deployment(**container: Any) -> dict[str, Any]:
            return {"spec": {"template": {"spec": {"containers": [{"name": "c", **container}]}}}}

        before = deployment(image="old", env=[{"name": "A", "value": "1"}])
        patch = deployment(image="new", env=[{"name": "B", "value": "2"}])
        merged = strategic_merge(DEPLOYMENT, before, patch)
        assert merged == deployment(image="new", env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])

    def test_an_entry_without_its_key_is_refused(self) -> None:
        with pytest.raises(ApiError, match="does not contain declared merge key: port"):
            apply(Kind.STRATEGIC, SERVICE, service(), service({"name": "a"}))

    def test_conditions_merge_by_type(self) -> None:
        shape = record("Status", conditions=conditions(CONDITION))
        before = {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Other", "status": "True"}]}
        merged = strategic_merge(shape, before, {"conditions": [{"type": "Ready", "status": "True"}]})
        assert merged["conditions"] == [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "True"}]


@given(OBJECTS, OBJECTS)
def test_a_patch_never_writes_to_the_object_it_is_applied_to(value: dict[str, Any], patch: dict[str, Any]) -> None:
    before = copied(value)
    for kind in (Kind.MERGE, Kind.STRATEGIC):
        apply(kind, record("R", a=SERVICE), value, patch)
    assert value == before


@given(OBJECTS, OBJECTS)
def test_applying_a_merge_patch_twice_is_applying_it_once(value: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge_patch(value, patch)
    assert merge_patch(once, patch) == once


def test_apply_takes_away_only_what_the_manager_had_set() -> None:
    live = service({"port": 80}, {"port": 81}, {"port": 82}, selector={"mine": "1", "theirs": "2"})
    last = service({"port": 80}, {"port": 81}, selector={"mine": "1"})
    after = applied(SERVICE, live, last, service({"port": 81}))
    assert after == service({"port": 81}, {"port": 82}, selector={"theirs": "2"})
