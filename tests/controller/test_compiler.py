"""The whole cluster's table: kept up to date at the cost of what changed, and always the same as compiled anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from cluster import CLUSTER_IP, SERVICE_CIDRS, UDP, VIP, piece, port, service, view
from controller.compile import CompiledService, NodeView, compile_service
from controller.compiler import Compiler, Conflict, ServiceKey
from controller.objects import EndpointSlice, Service
from dataplane.table import Family, ForwardingTable, FrontendKey, HealthCheckPort, Protocol

WEB = ("default", "web")
API = ("default", "api")
OLD, YOUNG = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
EXTERNAL = FrontendKey("198.51.100.9", Protocol.TCP, 80)


def compiler(node: NodeView | None = None) -> Compiler:
    return Compiler(node or view())


def update(
    of: Compiler, *services: Service, slices: Mapping[str, Iterable[EndpointSlice]] | None = None
) -> ForwardingTable:
    """These Services changed, and have these slices (by name; one with a pod on each node, unless told)."""
    given = slices or {}
    return of.update(
        {s.metadata.key: (s, given.get(s.metadata.name, [piece(s.metadata.name, "b1", "b3")])) for s in services}
    )


def both_at_the_same_external_ip(created: str, other: str) -> tuple[Service, Service]:
    return (
        service("web", created=created, cluster_ip="10.96.0.1", external_ips=("198.51.100.9",)),
        service("api", created=other, cluster_ip="10.96.0.2", external_ips=("198.51.100.9",)),
    )


class TestKeepingUpToDate:
    def test_nothing_is_known_at_first(self) -> None:
        table = compiler().table
        assert not table.frontends
        assert table.node_addresses == view().node_port_addresses
        assert table.detect_local == view().detect_local

    def test_the_services_of_a_cluster_stand_side_by_side(self) -> None:
        table = update(compiler(), service("web", cluster_ip="10.96.0.1"), service("api", cluster_ip="10.96.0.2"))
        assert {key.address for key in table.frontends} == {"10.96.0.1", "10.96.0.2"}
        assert table.cluster_ips == {"10.96.0.1", "10.96.0.2"}

    def test_a_service_that_goes_takes_its_frontends_and_its_address_along(self) -> None:
        subject = compiler()
        update(subject, service("web"), service("api", cluster_ip="10.96.0.2"))
        table = subject.update({WEB: (None, [])})
        assert {key.address for key in table.frontends} == {"10.96.0.2"}
        assert table.cluster_ips == {"10.96.0.2"}

    def test_the_ports_that_load_balancers_ask_for_health_at_are_known_while_a_service_has_them(self) -> None:
        subject = compiler()
        asked = service("web", vips=(VIP,), external_traffic_policy="Local", health_check_node_port=32000)
        port_of_web = HealthCheckPort(Family.IPV4, 32000, "default/web")
        assert update(subject, asked).health_check_ports == {port_of_web}
        assert update(subject, service("web", vips=(VIP,))).health_check_ports == frozenset()

    def test_a_service_that_goes_without_ever_having_come_changes_nothing(self) -> None:
        subject = compiler()
        before = update(subject, service("web"))
        assert subject.update({API: (None, [piece("api", "b1")])}) == before

    def test_endpoints_may_come_later_than_their_service(self) -> None:
        subject = compiler()
        update(subject, service("web"), slices={"web": []})
        table = update(subject, service("web"))
        assert table == update(compiler(), service("web"))

    def test_a_port_that_is_renamed_and_renumbered_moves(self) -> None:
        subject = compiler()
        update(subject, service("web", port(80, "a")))
        table = update(subject, service("web", port(81, "b", UDP)))
        assert list(table.frontends) == [FrontendKey(CLUSTER_IP, Protocol.UDP, 81)]

    def test_a_service_that_becomes_an_external_name_loses_its_frontends(self) -> None:
        subject = compiler()
        update(subject, service("web"))
        table = update(subject, service("web", type="ExternalName"))
        assert (dict(table.frontends), table.cluster_ips) == ({}, frozenset())

    def test_service_networks_are_kept_until_new_ones_come(self) -> None:
        subject = compiler()
        subject.update({}, service_cidrs=SERVICE_CIDRS)
        assert update(subject, service("web")).service_cidrs == SERVICE_CIDRS
        assert subject.update({}, service_cidrs=frozenset()).service_cidrs == frozenset()

    def test_a_new_view_of_the_node_concerns_everything_in_the_table(self) -> None:
        subject = compiler()
        update(subject, service("web"))
        there = view(node_port_addresses=["192.0.2.7"], masquerade_all=True)
        table = subject.update({WEB: (service("web"), [piece("web", "b1", "b3")])}, there)
        assert table == update(compiler(there), service("web"))


class TestTheCostOfAChange:
    """What stays the same must be the same object: that is what makes the difference between tables cheap."""

    def test_the_frontends_of_other_services_stay_the_same_objects(self) -> None:
        subject = compiler()
        before = update(subject, service("web"), service("api", cluster_ip="10.96.0.2"))
        after = update(subject, service("web"), slices={"web": [piece("web", "b2")]})
        kept = FrontendKey("10.96.0.2", Protocol.TCP, 80)
        assert after.frontends[kept] is before.frontends[kept]

    def test_an_update_that_changes_nothing_keeps_every_object(self) -> None:
        subject = compiler()
        before = update(subject, service("web"))
        after = update(subject, service("web"))
        assert all(after.frontends[key] is frontend for key, frontend in before.frontends.items())

    def test_an_old_table_is_never_written_to(self) -> None:
        subject = compiler()
        before = update(subject, service("web"))
        copy = dict(before.frontends)
        update(subject, service("web", port(81)), service("api"))
        subject.update({WEB: (None, [])})
        assert dict(before.frontends) == copy


class TestCollisions:
    def test_the_oldest_service_has_a_frontend_that_several_claim(self) -> None:
        for order in (1, -1):
            web, api = both_at_the_same_external_ip(YOUNG, OLD)
            subject = compiler()
            for each in (web, api)[::order]:
                update(subject, each)
            assert subject.table.frontends[EXTERNAL].service == "default/api"

    def test_of_two_equally_old_the_first_by_name_has_it(self) -> None:
        table = update(compiler(), *both_at_the_same_external_ip(OLD, OLD))
        assert table.frontends[EXTERNAL].service == "default/api"

    def test_when_the_winner_goes_the_next_oldest_has_it(self) -> None:
        subject = compiler()
        update(subject, *both_at_the_same_external_ip(YOUNG, OLD))
        table = subject.update({API: (None, [])})
        assert table.frontends[EXTERNAL].service == "default/web"

    def test_when_the_winner_gives_the_address_up_the_next_oldest_has_it(self) -> None:
        subject = compiler()
        web, api = both_at_the_same_external_ip(YOUNG, OLD)
        update(subject, web, api)
        table = update(subject, service("api", created=OLD, cluster_ip="10.96.0.2"))
        assert table.frontends[EXTERNAL].service == "default/web"

    def test_a_service_that_is_made_again_has_lost_its_age(self) -> None:
        subject = compiler()
        web, api = both_at_the_same_external_ip(OLD, YOUNG)
        update(subject, web, api)
        table = update(subject, both_at_the_same_external_ip("2026-01-03T00:00:00Z", YOUNG)[0])
        assert table.frontends[EXTERNAL].service == "default/api"

    def test_a_loser_keeps_its_other_frontends(self) -> None:
        table = update(compiler(), *both_at_the_same_external_ip(YOUNG, OLD))
        assert {key.address for key, f in table.frontends.items() if f.service == "default/web"} == {"10.96.0.1"}

    def test_node_ports_collide_too(self) -> None:
        table = update(
            compiler(),
            service("web", port(node_port=30080), cluster_ip="10.96.0.1", created=YOUNG),
            service("api", port(node_port=30080), cluster_ip="10.96.0.2", created=OLD),
        )
        assert table.frontends[FrontendKey("0.0.0.0", Protocol.TCP, 30080)].service == "default/api"

    def test_conflicts_are_told_with_winner_and_losers(self) -> None:
        subject = compiler()
        update(subject, *both_at_the_same_external_ip(YOUNG, OLD))
        assert subject.conflicts == (Conflict(EXTERNAL, API, (WEB,)),)

    def test_a_conflict_ends_with_its_last_loser(self) -> None:
        subject = compiler()
        update(subject, *both_at_the_same_external_ip(YOUNG, OLD))
        subject.update({WEB: (None, [])})
        assert subject.conflicts == ()

    def test_an_address_of_two_services_belongs_to_services_until_both_are_gone(self) -> None:
        subject = compiler()
        update(subject, service("web"), service("api", port(81)))
        assert subject.update({WEB: (None, [])}).cluster_ips == {CLUSTER_IP}
        assert subject.update({API: (None, [])}).cluster_ips == frozenset()


def test_keys_are_namespace_and_name() -> None:
    keys: list[ServiceKey] = [service("web").metadata.key]
    assert keys == [WEB]


def test_a_service_that_can_not_be_compiled_stays_as_it_was_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def mistaken(service: Service, slices: Iterable[EndpointSlice], node: NodeView) -> CompiledService:
        if service.metadata.name == "odd":
            raise ZeroDivisionError
        return compile_service(service, slices, node)

    odd, other = service("odd", cluster_ip="10.96.0.1"), service("other", cluster_ip="10.96.0.2")
    compiler = Compiler(view())
    before = compiler.update({odd.metadata.key: (odd, ())})
    monkeypatch.setattr("controller.compiler.compile_service", mistaken)
    after = compiler.update({odd.metadata.key: (odd, []), other.metadata.key: (other, ())})
    assert after.cluster_ips == {"10.96.0.1", "10.96.0.2"}
    assert {k: f for k, f in after.frontends.items() if k.address == "10.96.0.1"} == before.frontends
    assert "service default/odd can't be compiled" in caplog.text
    gone = compiler.update({odd.metadata.key: (None, ())})
    assert gone.cluster_ips == {"10.96.0.2"}
