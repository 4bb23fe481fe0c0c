import pytest

from lab.controllers.endpointslice.plan import Plan, slices_for


@pytest.fixture
def nodes(make):
    return make.nodes(n1="za", n2="zb")


def stored(plan, existing=()):
    """The slices after the plan is carried out."""
    gone = {s["metadata"]["name"] for s in (*plan.delete, *plan.update)}
    kept = [s for s in existing if s["metadata"]["name"] not in gone]
    names = (
        f"new-{number}" for number in range(1000) if f"new-{number}" not in {s["metadata"]["name"] for s in existing}
    )
    created = [s | {"metadata": s["metadata"] | {"name": name}} for s, name in zip(plan.create, names, strict=False)]
    return [*kept, *plan.update, *created]


def addresses(slices):
    return sorted(e["addresses"][0] for s in slices for e in s["endpoints"])


def test_a_new_service_gets_one_slice_with_all_its_pods(make, nodes):
    pods = [make.pod("a", "10.0.0.1"), make.pod("b", "10.0.0.2")]
    plan = slices_for(make.service(), pods, nodes, [])
    (made,) = plan.create
    assert not plan.update
    assert not plan.delete
    assert made["addressType"] == "IPv4"
    assert made["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert addresses([made]) == ["10.0.0.1", "10.0.0.2"]


def test_a_slice_says_whose_it_is(make, nodes):
    service = make.service()
    service["metadata"]["labels"] = {"team": "a", "kubernetes.io/service-name": "a-lie"}
    (made,) = slices_for(service, [make.pod("a", "10.0.0.1")], nodes, []).create
    metadata = made["metadata"]
    assert metadata["generateName"] == "web-"
    assert metadata["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Service", "web", "service-web")
    assert owner["controller"] is True


def test_slices_of_a_headless_service_are_marked_so_that_no_dataplane_reads_them(make, nodes):
    plan = slices_for(make.service(clusterIP="None"), [make.pod("a", "10.0.0.1")], nodes, [])
    assert plan.create[0]["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


def test_pods_that_are_over_or_have_no_address_are_left_out(make, nodes):
    pods = [
        make.pod("done", "10.0.0.1", phase="Succeeded"),
        make.pod("broken", "10.0.0.2", phase="Failed"),
        make.pod("starting", phase="Pending"),
        make.pod("odd", "10.0.0.999"),
        make.pod("good", "10.0.0.4"),
    ]
    assert addresses(slices_for(make.service(), pods, nodes, []).create) == ["10.0.0.4"]


def test_a_pod_on_a_node_that_does_not_exist_is_left_out_unless_everything_is_published(make, nodes):
    pods = [make.pod("lost", "10.0.0.1", node="gone")]
    assert addresses(slices_for(make.service(), pods, nodes, []).create) == []
    everyone = make.service(publishNotReadyAddresses=True)
    assert addresses(slices_for(everyone, pods, nodes, []).create) == ["10.0.0.1"]


def test_a_service_without_pods_has_one_empty_slice_so_that_nobody_waits_for_it(make, nodes):
    plan = slices_for(make.service(), [], nodes, [])
    assert [(s["endpoints"], s["ports"]) for s in plan.create] == [([], [])]
    assert slices_for(make.service(), [], nodes, stored(plan)) == Plan()


def test_the_empty_slice_becomes_the_first_real_one_and_back_again_without_a_gap(make, nodes):
    service = make.service()
    empty = stored(slices_for(service, [], nodes, []))
    plan = slices_for(service, [make.pod("a", "10.0.0.1")], nodes, empty)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 1, 0)
    filled = stored(plan, empty)
    assert addresses(filled) == ["10.0.0.1"]
    assert filled[0]["ports"][0]["port"] == 8080
    plan = slices_for(service, [], nodes, filled)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 1, 0)
    assert stored(plan, filled)[0]["endpoints"] == []


def test_a_dual_stack_service_has_slices_of_each_family(make, nodes):
    service = make.service(ipFamilies=["IPv6", "IPv4"])
    pods = [make.pod("a", "10.0.0.1", "fd00::1"), make.pod("only-4", "10.0.0.2")]
    made = {s["addressType"]: addresses([s]) for s in slices_for(service, pods, nodes, []).create}
    assert made == {"IPv6": ["fd00::1"], "IPv4": ["10.0.0.1", "10.0.0.2"]}


def test_when_a_family_is_given_up_its_slices_go(make, nodes):
    pods = [make.pod("a", "10.0.0.1", "fd00::1")]
    both = stored(slices_for(make.service(ipFamilies=["IPv4", "IPv6"]), pods, nodes, []))
    plan = slices_for(make.service(ipFamilies=["IPv4"]), pods, nodes, both)
    assert [s["addressType"] for s in plan.delete] == ["IPv6"]
    assert not plan.create
    assert not plan.update


def test_pods_with_different_numbers_for_one_name_are_in_different_slices(make, nodes):
    service = make.service(ports=[{"name": "http", "port": 80, "targetPort": "web"}])
    pods = [
        make.pod("old", "10.0.0.1", containers=[make.container(web=8080)]),
        make.pod("new", "10.0.0.2", containers=[make.container(web=9090)]),
    ]
    plan = slices_for(service, pods, nodes, [])
    assert sorted((s["ports"][0]["port"], *addresses([s])) for s in plan.create) == [
        (8080, "10.0.0.1"),
        (9090, "10.0.0.2"),
    ]


def test_a_change_of_the_target_port_changes_the_slice_in_place(make, nodes):
    pods = [make.pod("a", "10.0.0.1")]
    before = stored(slices_for(make.service(), pods, nodes, []))
    service = make.service(ports=[{"name": "http", "port": 80, "targetPort": 9090, "protocol": "TCP"}])
    plan = slices_for(service, pods, nodes, before)
    assert (len(plan.create), len(plan.delete)) == (0, 0)
    assert plan.update[0]["metadata"]["name"] == before[0]["metadata"]["name"]
    assert plan.update[0]["ports"][0]["port"] == 9090


def test_many_endpoints_are_divided_among_slices_that_are_full_but_the_last(make, nodes):
    pods = [make.pod(f"p{i}", f"10.0.0.{i}") for i in range(25)]
    plan = slices_for(make.service(), pods, nodes, [], limit=10)
    assert sorted(len(s["endpoints"]) for s in plan.create) == [5, 10, 10]


def test_a_pod_that_comes_goes_into_a_slice_with_room_and_the_others_are_not_written(make, nodes):
    pods = [make.pod(f"p{i}", f"10.0.0.{i}") for i in range(25)]
    before = stored(slices_for(make.service(), pods, nodes, [], limit=10))
    plan = slices_for(make.service(), [*pods, make.pod("late", "10.0.0.99")], nodes, before, limit=10)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 1, 0)
    assert len(plan.update[0]["endpoints"]) == 6


def test_one_that_goes_and_one_that_comes_cost_a_single_write(make, nodes):
    pods = [make.pod(f"p{i}", f"10.0.0.{i}") for i in range(30)]
    before = stored(slices_for(make.service(), pods, nodes, [], limit=10))
    plan = slices_for(make.service(), [*pods[1:], make.pod("late", "10.0.0.99")], nodes, before, limit=10)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 1, 0)


def test_a_slice_whose_pods_are_all_gone_is_deleted(make, nodes):
    pods = [make.pod(f"p{i}", f"10.0.0.{i}") for i in range(20)]
    before = stored(slices_for(make.service(), pods, nodes, [], limit=10))
    plan = slices_for(make.service(), pods[:10], nodes, before, limit=10)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 0, 1)


def test_new_labels_of_the_service_go_to_its_slices(make, nodes):
    pods = [make.pod("a", "10.0.0.1")]
    before = stored(slices_for(make.service(), pods, nodes, []))
    service = make.service()
    service["metadata"]["labels"] = {"team": "b"}
    plan = slices_for(service, pods, nodes, before)
    assert [s["metadata"]["labels"]["team"] for s in plan.update] == ["b"]


def test_slices_of_an_older_service_of_the_same_name_are_replaced(make, nodes):
    pods = [make.pod("a", "10.0.0.1")]
    old = make.service()
    old["metadata"]["uid"] = "an-older-one"
    before = stored(slices_for(old, pods, nodes, []))
    plan = slices_for(make.service(), pods, nodes, before)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (1, 0, 1)


def test_a_service_that_is_being_deleted_gets_no_new_slices(make, nodes):
    service = make.service()
    service["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert slices_for(service, [make.pod("a", "10.0.0.1")], nodes, []) == Plan()


def test_the_time_of_the_change_is_written_and_taken_off_by_a_write_that_has_none(make, nodes):
    key = "endpoints.kubernetes.io/last-change-trigger-time"
    pods = [make.pod("a", "10.0.0.1"), make.pod("b", "10.0.0.2")]
    time = "2026-01-01T00:00:10Z"
    before = stored(slices_for(make.service(), pods, nodes, [], trigger_time=time))
    assert before[0]["metadata"]["annotations"][key] == time
    (updated,) = slices_for(make.service(), pods[1:], nodes, before).update
    assert key not in updated["metadata"].get("annotations", {})


def test_of_slices_that_are_written_anyway_the_fullest_is_filled_first(make, nodes):
    pods = [make.pod(f"p{i:02}", f"10.0.0.{i}") for i in range(20)]
    before = stored(slices_for(make.service(), pods, nodes, [], limit=10))
    left = [*pods[3:10], *pods[11:]]  # 7 and 9 remain
    new = [make.pod("x", "10.0.0.98")]
    plan = slices_for(make.service(), left + new, nodes, before, limit=10)
    assert sorted(len(s["endpoints"]) for s in plan.update) == [7, 10]


def test_a_slice_that_is_being_deleted_does_not_count(make, nodes):
    pods = [make.pod("a", "10.0.0.1")]
    before = stored(slices_for(make.service(), pods, nodes, []))
    before[0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    plan = slices_for(make.service(), pods, nodes, before)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (1, 0, 0)
