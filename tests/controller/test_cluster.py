"""What is known of the cluster, and which Services a change affects."""

from __future__ import annotations

from msgspec.structs import replace

from cluster import piece, service
from controller.cluster import Cluster
from controller.objects import EndpointSlice, Metadata, Node, ServiceCIDR, ServiceCIDRSpec

WEB = ("default", "web")
API = ("default", "api")
HEADLESS = {"kubernetes.io/service-name": "web", "service.kubernetes.io/headless": ""}


class Watched(Cluster):
    """A cluster that counts how often it said that something happened."""

    def __init__(self) -> None:
        self.told = 0
        super().__init__(self._count)

    def _count(self) -> None:
        self.told += 1


def relabelled(of: EndpointSlice, labels: dict[str, str] | None) -> EndpointSlice:
    return replace(of, metadata=replace(of.metadata, labels=labels))


def put(cluster: Cluster, *slices: EndpointSlice) -> None:
    for each in slices:
        cluster.slices.change(each.metadata.key, each)


class TestServices:
    def test_a_new_service_is_affected_with_all_its_slices(self) -> None:
        cluster = Watched()
        put(cluster, piece("web", "b1", name="one"), piece("web", "b3", name="two"), piece("api", "b1"))
        cluster.services.change(WEB, service("web"))
        found, slices = cluster.take_changes()[WEB]
        assert found == service("web")
        assert {s.metadata.name for s in slices} == {"one", "two"}

    def test_a_service_that_is_gone_is_affected_and_absent(self) -> None:
        cluster = Watched()
        cluster.services.change(WEB, service("web"))
        cluster.take_changes()
        cluster.services.change(WEB, None)
        assert cluster.take_changes() == {WEB: (None, ())}

    def test_a_service_that_stays_the_same_is_not_affected(self) -> None:
        cluster = Watched()
        cluster.services.change(WEB, service("web"))
        cluster.take_changes()
        cluster.services.change(WEB, service("web"))
        assert (cluster.take_changes(), cluster.told) == ({}, 1)

    def test_changes_are_taken_once(self) -> None:
        cluster = Watched()
        cluster.services.change(WEB, service("web"))
        assert set(cluster.take_changes()) == {WEB}
        assert cluster.take_changes() == {}

    def test_a_service_that_came_and_went_in_between_is_looked_at_as_gone(self) -> None:
        cluster = Watched()
        cluster.services.change(WEB, service("web"))
        cluster.services.change(WEB, None)
        assert cluster.take_changes() == {WEB: (None, ())}

    def test_a_service_that_went_and_came_back_is_looked_at_as_it_is(self) -> None:
        cluster = Watched()
        cluster.services.change(WEB, service("web"))
        cluster.take_changes()
        cluster.services.change(WEB, None)
        cluster.services.change(WEB, service("web"))
        assert cluster.take_changes() == {WEB: (service("web"), ())}

    def test_a_service_that_goes_leaves_its_slices_for_when_it_comes_back(self) -> None:
        cluster = Watched()
        put(cluster, piece("web", "b1"))
        cluster.services.change(WEB, service("web"))
        cluster.services.change(WEB, None)
        cluster.services.change(WEB, service("web"))
        assert len(cluster.look_up(WEB)[1]) == 1


class TestSlices:
    def test_a_new_slice_affects_its_service(self) -> None:
        cluster = Watched()
        put(cluster, piece("web", "b1"))
        assert set(cluster.take_changes()) == {WEB}

    def test_any_difference_affects_its_service_the_order_of_endpoints_too(self) -> None:
        cluster = Watched()
        put(cluster, piece("web", "b1", "b3"))
        cluster.take_changes()
        put(cluster, piece("web", "b3", "b1"))
        assert set(cluster.take_changes()) == {WEB}

    def test_the_same_slice_again_affects_nobody(self) -> None:
        cluster = Watched()
        put(cluster, piece("web", "b1"))
        cluster.take_changes()
        put(cluster, piece("web", "b1"))
        assert (cluster.take_changes(), cluster.told) == ({}, 1)

    def test_a_slice_that_changes_owners_affects_both(self) -> None:
        cluster = Watched()
        before = piece("web", "b1", name="s")
        put(cluster, before)
        cluster.take_changes()
        put(cluster, relabelled(before, {"kubernetes.io/service-name": "api"}))
        changes = cluster.take_changes()
        assert {key: len(slices) for key, (_, slices) in changes.items()} == {WEB: 0, API: 1}

    def test_a_live_slice_that_becomes_headless_is_gone_for_its_service(self) -> None:
        cluster = Watched()
        put(cluster, piece("web", "b1"))
        cluster.take_changes()
        put(cluster, relabelled(piece("web", "b1"), HEADLESS))
        assert cluster.take_changes() == {WEB: (None, ())}

    def test_slices_without_an_owner_affect_nobody(self) -> None:
        cluster = Watched()
        for labels in (None, {}, {"kubernetes.io/service-name": ""}, HEADLESS):
            put(cluster, relabelled(piece("web", "b1"), labels))
        assert (cluster.take_changes(), cluster.told) == ({}, 0)

    def test_slices_belong_to_services_of_their_own_namespace(self) -> None:
        cluster = Watched()
        elsewhere = replace(piece("web", "b1"), metadata=replace(piece("web").metadata, namespace="other"))
        put(cluster, elsewhere)
        assert set(cluster.take_changes()) == {("other", "web")}

    def test_deleting_what_is_not_there_is_nothing(self) -> None:
        cluster = Watched()
        cluster.slices.change(("default", "s"), None)
        assert (cluster.take_changes(), cluster.told) == ({}, 0)

    def test_nothing_is_kept_of_slices_that_are_gone(self) -> None:
        cluster = Watched()
        slices = [piece("web", "b1", name="one"), piece("web", "b1", name="two"), piece("api", "b1")]
        put(cluster, *slices)
        for each in slices:
            cluster.slices.change(each.metadata.key, None)
        assert not cluster._slices_of


class TestCompleteLists:
    def test_what_is_not_in_the_list_is_gone(self) -> None:
        cluster = Watched()
        cluster.services.replace({WEB: service("web"), API: service("api")})
        cluster.take_changes()
        cluster.services.replace({API: service("api")})
        assert cluster.take_changes() == {WEB: (None, ())}

    def test_the_same_list_again_affects_nobody(self) -> None:
        cluster = Watched()
        cluster.services.replace({WEB: service("web")})
        cluster.take_changes()
        cluster.services.replace({WEB: service("web")})
        assert (cluster.take_changes(), cluster.told) == ({}, 1)

    def test_everything_is_every_service_with_its_slices(self) -> None:
        cluster = Watched()
        put(cluster, piece("web", "b1"), piece("nobody", "b1"))
        cluster.services.replace({WEB: service("web"), API: service("api")})
        assert {key: len(slices) for key, (_, slices) in cluster.everything().items()} == {WEB: 1, API: 0}


class TestOtherKinds:
    def test_a_node_that_changes_is_told(self) -> None:
        cluster = Watched()
        cluster.nodes.change(("", "n1"), Node(Metadata(name="n1")))
        assert cluster.told == 1

    def test_a_network_that_two_objects_name_goes_with_the_second(self) -> None:
        cluster = Watched()
        for name in ("one", "two"):
            spec = ServiceCIDRSpec(("10.96.0.0/12", "fd00:10:96::/112"))
            cluster.service_cidrs.change(("", name), ServiceCIDR(Metadata(name=name), spec))
        cluster.service_cidrs.change(("", "one"), None)
        assert cluster.networks() == {"10.96.0.0/12", "fd00:10:96::/112"}
        cluster.service_cidrs.change(("", "two"), None)
        assert cluster.networks() == frozenset()

    def test_networks_are_in_canonical_form(self) -> None:
        cluster = Watched()
        spec = ServiceCIDRSpec(("010.96.1.2/12", "nonsense"))
        cluster.service_cidrs.change(("", "one"), ServiceCIDR(spec=spec))
        assert cluster.networks() == {"10.96.0.0/12"}
