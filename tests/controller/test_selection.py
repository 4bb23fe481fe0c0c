"""Which endpoints of a service port get traffic: readiness, topology hints, locality, and the last resort."""

from __future__ import annotations

import pytest

from cluster import HERE, NAMES, draining, endpoint, piece, stopped, unready
from controller.endpoints import Candidate, endpoints_by_port
from controller.objects import SliceEndpoint
from controller.selection import Place, Selection, Topology, select, topology_for, why_not
from dataplane.table import Family

NO_ZONE = Place("n1", "")


def candidates(*endpoints: SliceEndpoint | str) -> tuple[Candidate, ...]:
    return endpoints_by_port([piece("web", *endpoints)], Family.IPV4).get(("", "TCP"), ())


def cluster_list(*endpoints: SliceEndpoint | str, place: Place = HERE) -> set[str]:
    return names(select(candidates(*endpoints), place, uses_cluster=True, uses_local=False).cluster)


def local_list(*endpoints: SliceEndpoint | str) -> set[str]:
    return names(both_lists(*endpoints).local)


def both_lists(*endpoints: SliceEndpoint | str) -> Selection:
    return select(candidates(*endpoints), HERE, uses_cluster=True, uses_local=True)


def local_only(*endpoints: SliceEndpoint | str) -> Selection:
    return select(candidates(*endpoints), HERE, uses_cluster=False, uses_local=True)


def names(chosen: tuple[Candidate, ...]) -> set[str]:
    return {NAMES[c.endpoint.address] for c in chosen}


class TestReadiness:
    def test_ready_endpoints_on_every_node_are_used(self) -> None:
        assert cluster_list("b1", "b3") == {"b1", "b3"}

    def test_an_endpoint_that_is_not_ready_is_not_used(self) -> None:
        assert cluster_list("b1", unready("b2")) == {"b1"}

    def test_an_unset_condition_means_ready(self) -> None:
        assert cluster_list(endpoint("b1", ready=None)) == {"b1"}

    def test_nothing_is_used_when_no_endpoint_is_ready_or_terminating(self) -> None:
        selection = both_lists(unready("b1"), unready("b3"))
        assert selection == Selection()

    def test_ready_and_terminating_at_once_counts_as_ready(self) -> None:
        published = endpoint("b1", ready=True, serving=True, terminating=True)
        assert cluster_list(published, draining("b3")) == {"b1"}

    def test_serving_without_being_ready_or_terminating_is_not_enough(self) -> None:
        assert cluster_list(endpoint("b1", ready=False, serving=True, terminating=False)) == set()

    def test_no_endpoints_make_empty_lists(self) -> None:
        assert both_lists() == Selection()


class TestTheLastResort:
    def test_terminating_endpoints_that_serve_are_used_when_none_is_ready(self) -> None:
        assert cluster_list(draining("b1"), stopped("b3"), unready("b4")) == {"b1"}

    def test_terminating_endpoints_are_left_alone_while_one_is_ready(self) -> None:
        assert cluster_list(draining("b1"), "b3") == {"b3"}

    def test_terminating_endpoints_are_used_whatever_their_hints_say(self) -> None:
        assert cluster_list(draining("b1", zones=["zb"]), draining("b3", zones=["zb"])) == {"b1", "b3"}

    def test_each_list_falls_back_on_its_own(self) -> None:
        selection = both_lists(draining("b1"), "b3")
        assert names(selection.cluster) == {"b3"}
        assert names(selection.local) == {"b1"}

    def test_only_the_cluster_list_falls_back_to_endpoints_of_other_nodes(self) -> None:
        selection = both_lists(draining("b3"), draining("b4"))
        assert names(selection.cluster) == {"b3", "b4"}
        assert selection.local == ()
        assert selection.exists


class TestTheLocalList:
    def test_it_holds_this_node_s_endpoints(self) -> None:
        assert local_list("b1", "b2", "b3") == {"b1", "b2"}

    def test_it_is_empty_when_all_endpoints_are_elsewhere_and_yet_endpoints_exist(self) -> None:
        selection = local_only("b3", "b4")
        assert selection.local == ()
        assert selection.exists

    def test_all_local_endpoints_are_returned(self) -> None:
        assert names(local_only("b1", "b2").local) == {"b1", "b2"}

    def test_endpoints_without_a_node_name_are_not_local(self) -> None:
        assert local_list(endpoint("10.244.1.99"), "b1") == {"b1"}

    def test_a_node_that_does_not_know_its_own_name_has_no_local_endpoints(self) -> None:
        nameless = candidates(endpoint("10.244.1.99"))
        assert select(nameless, Place(""), uses_cluster=False, uses_local=True).local == ()

    def test_topology_hints_never_narrow_it(self) -> None:
        hinted = [endpoint("b1", zones=["zb"]), endpoint("b2", zones=["za"])]
        selection = both_lists(*hinted)
        assert names(selection.local) == {"b1", "b2"}
        assert names(selection.cluster) == {"b2"}

    def test_no_cluster_list_is_made_when_nothing_needs_one(self) -> None:
        assert local_only("b1", "b3").cluster == ()

    def test_no_local_list_is_made_when_nothing_needs_one(self) -> None:
        selection = select(candidates("b1"), HERE, uses_cluster=True, uses_local=False)
        assert selection.local == ()

    def test_nothing_exists_when_only_unusable_endpoints_are_there(self) -> None:
        assert not local_only(unready("b3"), stopped("b4")).exists


class TestZoneHints:
    def test_only_endpoints_for_this_zone_are_used(self) -> None:
        assert cluster_list(endpoint("b1", zones=["za"]), endpoint("b3", zones=["zb"])) == {"b1"}

    def test_an_endpoint_may_be_hinted_for_several_zones(self) -> None:
        assert cluster_list(endpoint("b1", zones=["zb"]), endpoint("b3", zones=["zc", "za"])) == {"b3"}

    def test_hints_are_ignored_when_one_ready_endpoint_has_none(self) -> None:
        assert cluster_list(endpoint("b1", zones=["za"]), "b3") == {"b1", "b3"}

    def test_hints_of_endpoints_that_are_not_ready_do_not_matter(self) -> None:
        assert cluster_list(endpoint("b1", zones=["za"]), endpoint("b3", zones=["zb"]), unready("b4")) == {"b1"}

    def test_hints_are_ignored_when_none_is_for_this_zone(self) -> None:
        assert cluster_list(endpoint("b1", zones=["zb"]), endpoint("b3", zones=["zc"])) == {"b1", "b3"}

    def test_hints_are_ignored_when_this_zone_has_only_unready_endpoints(self) -> None:
        assert cluster_list(unready("b1", zones=["za"]), endpoint("b3", zones=["zb"])) == {"b3"}

    def test_an_unready_endpoint_of_this_zone_is_not_used_beside_a_ready_one(self) -> None:
        assert cluster_list(unready("b1", zones=["za"]), endpoint("b2", zones=["za"])) == {"b2"}

    def test_hints_are_ignored_on_a_node_without_a_zone(self) -> None:
        hinted = [endpoint("b1", zones=["za"]), endpoint("b3", zones=["zb"])]
        assert cluster_list(*hinted, place=NO_ZONE) == {"b1", "b3"}

    def test_hints_for_a_zone_without_a_name_do_not_match_a_node_without_a_zone(self) -> None:
        hinted = [endpoint("b1", zones=[""]), endpoint("b3", zones=["zb"])]
        assert cluster_list(*hinted, place=NO_ZONE) == {"b1", "b3"}


class TestNodeHints:
    def test_endpoints_for_this_node_come_first(self) -> None:
        both = [endpoint("b1", zones=["za"], nodes=["n1"]), endpoint("b3", zones=["za"], nodes=["n2"])]
        assert cluster_list(*both) == {"b1"}

    def test_zone_hints_count_when_no_endpoint_is_for_this_node(self) -> None:
        both = [endpoint("b3", zones=["za"], nodes=["n2"]), endpoint("b4", zones=["zb"], nodes=["n2"])]
        assert cluster_list(*both) == {"b3"}

    def test_zone_hints_count_when_one_ready_endpoint_lacks_a_node_hint(self) -> None:
        both = [endpoint("b1", zones=["za"], nodes=["n1"]), endpoint("b2", zones=["za"]), endpoint("b3", zones=["zb"])]
        assert cluster_list(*both) == {"b1", "b2"}

    def test_all_endpoints_are_used_when_neither_node_nor_zone_is_hinted(self) -> None:
        both = [endpoint("b3", zones=["zb"], nodes=["n2"]), endpoint("b4", zones=["zb"], nodes=["n2"])]
        assert cluster_list(*both) == {"b3", "b4"}


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ([], Topology.ALL),
        (["b1"], Topology.ALL),
        ([endpoint("b1", zones=["za"])], Topology.SAME_ZONE),
        ([endpoint("b1", nodes=["n1"])], Topology.SAME_NODE),
        ([draining("b1", zones=["za"])], Topology.ALL),
    ],
)
def test_hints_are_followed_as_a_whole_or_not_at_all(endpoints: list[SliceEndpoint | str], expected: Topology) -> None:
    assert topology_for(candidates(*endpoints), HERE) is expected


class TestWhyNot:
    """The words for people: one reason for each way of not being chosen."""

    def reason(self, *endpoints: SliceEndpoint | str, of: str, local: bool = False) -> str | None:
        found = candidates(*endpoints)
        asked = next(c for c in found if NAMES[c.endpoint.address] == of)
        selection = select(found, HERE, uses_cluster=True, uses_local=True)
        return why_not(asked, selection, HERE, local=local)

    def test_a_chosen_endpoint_has_no_reason(self) -> None:
        assert self.reason("b1", "b3", of="b3") is None

    def test_an_unready_endpoint_is_not_ready(self) -> None:
        assert self.reason("b1", unready("b3"), of="b3") == "it is not ready"

    def test_a_draining_endpoint_waits_behind_ready_ones(self) -> None:
        assert self.reason("b1", draining("b3"), of="b3") == "it is terminating, and others are ready"

    def test_a_stopped_endpoint_no_longer_serves(self) -> None:
        assert self.reason("b1", stopped("b3"), of="b3") == "it is terminating and no longer serving"

    def test_a_remote_endpoint_does_not_count_locally(self) -> None:
        reason = self.reason("b1", "b3", of="b3", local=True)
        assert reason == "it runs on n2, and only endpoints on n1 count"

    def test_an_endpoint_hinted_for_another_zone_is_told_so(self) -> None:
        reason = self.reason(endpoint("b1", zones=["za"]), endpoint("b3", zones=["zb"]), of="b3")
        assert reason == "it is hinted for zb, and zone za has endpoints of its own"

    def test_an_endpoint_hinted_for_another_node_is_told_so(self) -> None:
        reason = self.reason(endpoint("b1", nodes=["n1"]), endpoint("b3", nodes=["n2"]), of="b3")
        assert reason == "it is hinted for n2, and n1 has endpoints of its own"
