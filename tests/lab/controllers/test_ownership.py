from lab.controllers.objects import is_controlled_by, owner_reference
from lab.controllers.ownership import adopted, claims, released

OWNER = {"metadata": {"name": "web", "uid": "1"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}}
OTHER = {"metadata": {"name": "other", "uid": "2"}}


def thing(name, app="web", owner=None, **metadata):
    found = {"metadata": {"name": name, "labels": {"app": app}} | metadata}
    return adopted(found, owner_reference(owner, "apps/v1", "ReplicaSet")) if owner else found


def sorted_out(*things, owner=OWNER):
    found = claims(owner, things)
    return tuple([t["metadata"]["name"] for t in part] for part in (found.owned, found.adopt, found.release))


def test_what_it_controls_and_selects_is_its_own():
    assert sorted_out(thing("a", owner=OWNER)) == (["a"], [], [])


def test_what_it_selects_and_nobody_controls_it_adopts():
    assert sorted_out(thing("a"), thing("b", app="other")) == ([], ["a"], [])


def test_what_it_controls_and_does_not_select_any_more_it_lets_go():
    assert sorted_out(thing("a", app="other", owner=OWNER)) == ([], [], ["a"])


def test_what_somebody_else_controls_it_leaves_alone():
    assert sorted_out(thing("a", owner=OTHER)) == ([], [], [])


def test_nothing_that_is_being_deleted_is_adopted_and_nobody_who_is_being_deleted_adopts():
    going = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert sorted_out(thing("a", **going)) == ([], [], [])
    assert sorted_out(thing("a"), owner=OWNER | {"metadata": OWNER["metadata"] | going}) == ([], [], [])


def test_an_object_that_is_let_go_keeps_its_other_owners():
    both = thing("a", owner=OWNER)
    both["metadata"]["ownerReferences"].append({"uid": "3", "name": "plain"})
    free = released(both, OWNER)
    assert free["metadata"]["ownerReferences"] == [{"uid": "3", "name": "plain"}]
    assert not is_controlled_by(free, OWNER)
    assert "ownerReferences" not in released(thing("b", owner=OWNER), OWNER)["metadata"]
