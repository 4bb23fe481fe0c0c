"""What a Service asks for: which are proxied at all, and what is read from the others."""

from __future__ import annotations

import pytest

from cluster import CLUSTER_IP, CLUSTER_IP6, SCTP, UDP, VIP, dual_stack, port, service
from controller.objects import (
    ClientIPConfig,
    LoadBalancerIngress,
    Service,
    ServicePort,
    ServiceSpec,
    SessionAffinityConfig,
)
from controller.service import ServiceFacts, cluster_ips_of, facts_of, protocol_of
from dataplane.table import Family, Protocol

V4, V6 = Family.IPV4, Family.IPV6
NODE = ("192.0.2.1", "fd00:192::1")


def facts(of: Service, family: Family = V4, node_addresses: tuple[str, ...] = NODE) -> ServiceFacts:
    return facts_of(of, node_addresses)[family]


class TestWhichServicesAreProxied:
    def test_a_cluster_ip_service_is(self) -> None:
        assert list(cluster_ips_of(service())) == [V4]

    @pytest.mark.parametrize("cluster_ip", ["", "None"])
    def test_one_without_a_cluster_ip_is_not(self, cluster_ip: str) -> None:
        assert not cluster_ips_of(service(cluster_ip=cluster_ip))

    def test_an_external_name_is_not_even_with_an_address(self) -> None:
        assert not cluster_ips_of(service(type="ExternalName"))

    @pytest.mark.parametrize("value", ["other", ""])
    def test_one_that_another_proxy_is_named_for_is_not(self, value: str) -> None:
        labels = {"service.kubernetes.io/service-proxy-name": value}
        assert not cluster_ips_of(service(labels=labels))

    @pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
    def test_the_three_types_with_cluster_ips_are(self, kind: str) -> None:
        assert list(cluster_ips_of(service(type=kind))) == [V4]


class TestClusterIPs:
    def test_the_list_is_in_the_order_of_the_families(self) -> None:
        of = dual_stack(cluster_ips=(CLUSTER_IP6, CLUSTER_IP), ip_families=("IPv6", "IPv4"), cluster_ip=CLUSTER_IP6)
        assert list(cluster_ips_of(of).items()) == [(V6, CLUSTER_IP6), (V4, CLUSTER_IP)]

    def test_a_family_that_is_not_listed_has_none(self) -> None:
        of = service(cluster_ips=(CLUSTER_IP,), ip_families=("IPv4",))
        assert V6 not in cluster_ips_of(of)

    def test_a_family_that_is_listed_without_an_address_has_none(self) -> None:
        of = service(cluster_ips=(CLUSTER_IP,), ip_families=("IPv4", "IPv6"))
        assert list(cluster_ips_of(of)) == [V4]

    def test_listed_families_without_any_list_of_addresses_have_none(self) -> None:
        assert not cluster_ips_of(service(ip_families=("IPv4",)))

    def test_without_families_the_one_address_counts_in_its_own(self) -> None:
        assert list(cluster_ips_of(service())) == [V4]
        assert list(cluster_ips_of(service(cluster_ip=CLUSTER_IP6))) == [V6]

    def test_an_address_listed_under_the_wrong_family_does_not_count(self) -> None:
        of = service(cluster_ips=(CLUSTER_IP6,), ip_families=("IPv4",))
        assert not cluster_ips_of(of)

    def test_leading_zeros_are_decimal(self) -> None:
        assert cluster_ips_of(service(cluster_ip="172.30.0.041")) == {V4: "172.30.0.41"}


class TestExternalAddresses:
    def test_external_ips_are_sorted_by_family(self) -> None:
        of = dual_stack(external_ips=("198.51.100.9", "2001:db8::9"))
        assert facts(of, V4).external_ips == ("198.51.100.9",)
        assert facts(of, V6).external_ips == ("2001:db8::9",)

    def test_nonsense_among_external_ips_is_left_out(self) -> None:
        assert facts(service(external_ips=("", "nine", "198.51.100.009"))).external_ips == ("198.51.100.9",)

    def test_the_unspecified_address_does_not_open_the_port_on_every_node_address(self) -> None:
        of = dual_stack(external_ips=("0.0.0.0", "::"), vips=["0.0.0.0", "::", VIP])
        assert (facts(of, V4).external_ips, facts(of, V4).load_balancer_ips) == ((), (VIP,))
        assert (facts(of, V6).external_ips, facts(of, V6).load_balancer_ips) == ((), ())

    def test_load_balancer_addresses_are_sorted_by_family(self) -> None:
        of = dual_stack(vips=[VIP, "2001:db8::7"])
        assert facts(of, V4).load_balancer_ips == (VIP,)
        assert facts(of, V6).load_balancer_ips == ("2001:db8::7",)

    @pytest.mark.parametrize(("mode", "expected"), [(None, (VIP,)), ("VIP", (VIP,)), ("Proxy", ())])
    def test_a_load_balancer_that_is_a_proxy_is_not_short_cut(self, mode: str | None, expected: tuple[str]) -> None:
        of = service(vips=[LoadBalancerIngress(ip=VIP, ip_mode=mode)])
        assert facts(of).load_balancer_ips == expected

    def test_a_load_balancer_with_only_a_host_name_has_no_address(self) -> None:
        assert facts(service(vips=[LoadBalancerIngress(hostname="lb.example")])).load_balancer_ips == ()


class TestSourceRanges:
    def test_without_ranges_nobody_is_kept_out(self) -> None:
        assert facts(service(vips=[VIP])).sources is None

    def test_blanks_are_trimmed_and_host_bits_cleared(self) -> None:
        of = service(vips=[VIP], load_balancer_source_ranges=(" 203.0.113.7/25 ", "\t198.51.100.0/24"))
        assert facts(of).sources == ("203.0.113.0/25", "198.51.100.0/24")

    def test_ranges_are_sorted_by_family(self) -> None:
        of = dual_stack(vips=[VIP, "2001:db8::7"], load_balancer_source_ranges=("203.0.113.0/24", "2001:db8:1::/64"))
        assert facts(of, V4).sources == ("203.0.113.0/24",)
        assert facts(of, V6).sources == ("2001:db8:1::/64",)

    def test_a_family_without_ranges_is_not_limited(self) -> None:
        of = dual_stack(vips=[VIP, "2001:db8::7"], load_balancer_source_ranges=("203.0.113.0/24",))
        assert facts(of, V6).sources is None

    @pytest.mark.parametrize("everything", ["0.0.0.0/0", "10.1.2.3/0"])
    def test_a_range_that_holds_everything_lifts_the_limit(self, everything: str) -> None:
        of = service(vips=[VIP], load_balancer_source_ranges=("203.0.113.0/24", everything))
        assert facts(of).sources is None

    def test_a_range_that_is_no_network_is_dropped(self) -> None:
        of = service(vips=[VIP], load_balancer_source_ranges=("203.0.113.0", "203.0.113.0/33", "203.0.113.0/24"))
        assert facts(of).sources == ("203.0.113.0/24",)

    def test_a_node_that_is_allowed_may_use_the_load_balancer_address_as_its_source(self) -> None:
        of = service(vips=[VIP, "198.51.100.8"], load_balancer_source_ranges=("192.0.2.0/24",))
        assert facts(of).sources == ("192.0.2.0/24", "198.51.100.7/32", "198.51.100.8/32")

    def test_a_node_that_is_not_allowed_may_not(self) -> None:
        of = service(vips=[VIP], load_balancer_source_ranges=("203.0.113.0/24",))
        assert facts(of).sources == ("203.0.113.0/24",)

    def test_the_node_s_address_of_the_other_family_does_not_count(self) -> None:
        of = service(vips=[VIP], load_balancer_source_ranges=("192.0.2.0/24",))
        assert facts(of, node_addresses=("fd00:192::1",)).sources == ("192.0.2.0/24",)


class TestTrafficPolicies:
    @pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
    def test_the_external_policy_counts_where_there_is_an_entry_from_outside(self, kind: str) -> None:
        assert facts(service(type=kind, external_traffic_policy="Local")).external_local

    def test_it_does_not_count_for_a_plain_cluster_ip(self) -> None:
        assert not facts(service(external_traffic_policy="Local")).external_local

    def test_external_ips_are_an_entry_from_outside(self) -> None:
        of = service(external_traffic_policy="Local", external_ips=("198.51.100.9",))
        assert facts(of).external_local

    @pytest.mark.parametrize(("policy", "local"), [(None, False), ("Cluster", False), ("Local", True)])
    def test_the_internal_policy_is_cluster_unless_it_says_local(self, policy: str | None, local: bool) -> None:
        assert facts(service(internal_traffic_policy=policy)).internal_local is local


class TestAffinity:
    def test_there_is_none_unless_it_is_asked_for(self) -> None:
        assert facts(service()).affinity(port()) is None

    def test_it_lasts_three_hours_unless_told(self) -> None:
        affinity = facts(service(session_affinity="ClientIP")).affinity(port())
        assert affinity is not None
        assert affinity.seconds == 10800

    def test_its_time_is_read_from_the_configuration(self) -> None:
        config = SessionAffinityConfig(ClientIPConfig(30))
        affinity = facts(service(session_affinity="ClientIP", session_affinity_config=config)).affinity(port())
        assert affinity is not None
        assert affinity.seconds == 30

    def test_each_port_has_a_memory_of_its_own(self) -> None:
        found = facts(service(session_affinity="ClientIP"))
        ports = [port(80, "a"), port(81, "b"), port(80, "a", UDP)]
        assert len({found.affinity(p) for p in ports}) == 3


class TestNames:
    def test_a_port_without_a_name_goes_by_its_service(self) -> None:
        assert facts(service("web")).port_name(port()) == "default/web"

    def test_a_named_port_adds_its_name(self) -> None:
        assert facts(service("web")).port_name(port(80, "http")) == "default/web:http"

    @pytest.mark.parametrize("protocol", ["TCP", UDP, SCTP])
    def test_three_protocols_are_known(self, protocol: str) -> None:
        assert protocol_of(port(protocol=protocol)) is Protocol(protocol)

    def test_other_protocols_are_not(self) -> None:
        assert protocol_of(ServicePort(port=80, protocol="DCCP")) is None


def test_a_service_without_a_status_has_no_load_balancer_address() -> None:
    assert facts(Service(spec=ServiceSpec(cluster_ip=CLUSTER_IP))).load_balancer_ips == ()
