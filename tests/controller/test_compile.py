"""From a Service and its slices to verdicts: who reaches which endpoints, through which address."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster import (
    ADDRESSES,
    CLUSTER_IP,
    CLUSTER_IP6,
    SCTP,
    TCP,
    UDP,
    VIP,
    compiled,
    draining,
    dual_stack,
    endpoint,
    piece,
    port,
    service,
    stopped,
    unready,
    view,
)
from controller.compile import compile_service
from controller.node import NodeOptions, node_view
from controller.objects import EndpointSlice, LoadBalancerIngress, ServicePort, SliceEndpoint
from dataplane.table import DetectLocal, Endpoint, Family, ForwardingTable, FrontendKey, Protocol
from flows import ask

NODE_PORT = 30080
N1, N1_6 = ADDRESSES["n1"]
EXTERNAL_IP = "198.51.100.9"
ONE_HERE_ONE_THERE = piece("web", "b1", "b3")
EVERYONE = ("c1", "n1", "x1")


class TestFrontends:
    def test_a_cluster_ip_service_has_one(self) -> None:
        assert list(compiled(service(), ONE_HERE_ONE_THERE).frontends) == [FrontendKey(CLUSTER_IP, Protocol.TCP, 80)]

    def test_a_load_balancer_has_one_for_each_of_its_addresses_and_a_node_port(self) -> None:
        of = service("web", port(node_port=NODE_PORT), vips=[VIP], external_ips=(EXTERNAL_IP,))
        assert set(compiled(of, ONE_HERE_ONE_THERE).frontends) == {
            FrontendKey(CLUSTER_IP, Protocol.TCP, 80),
            FrontendKey(VIP, Protocol.TCP, 80),
            FrontendKey(EXTERNAL_IP, Protocol.TCP, 80),
            FrontendKey("0.0.0.0", Protocol.TCP, NODE_PORT),
        }

    def test_an_external_ip_has_none_where_the_operator_does_not_want_them_served(self) -> None:
        of = service("web", port(node_port=NODE_PORT), external_ips=(EXTERNAL_IP,))
        found = compile_service(of, [ONE_HERE_ONE_THERE], replace(view(), external_ips=False)).frontends
        assert {key.address for key in found} == {CLUSTER_IP, "0.0.0.0"}

    def test_every_frontend_is_filed_under_its_own_key(self) -> None:
        table = compiled(service("web", port(node_port=NODE_PORT), vips=[VIP]), ONE_HERE_ONE_THERE)
        assert all(frontend.key == key for key, frontend in table.frontends.items())

    def test_each_says_which_of_the_addresses_it_is_and_whether_its_policy_is_local(self) -> None:
        of = service(
            "web",
            port(node_port=NODE_PORT),
            vips=[VIP],
            external_ips=(EXTERNAL_IP,),
            external_traffic_policy="Local",
        )
        assert [(str(f.entrance), f.only_local) for f in compiled(of, ONE_HERE_ONE_THERE).frontends.values()] == [
            ("cluster IP", False),
            ("load-balancer IP", True),
            ("external IP", True),
            ("node port", True),
        ]

    def test_a_service_is_known_by_its_name_and_its_port_s(self) -> None:
        table = compiled(service("web", port(80, "http")), ONE_HERE_ONE_THERE)
        assert [f.service for f in table.frontends.values()] == ["default/web:http"]

    def test_one_port_number_serves_three_protocols_with_a_backend_each(self) -> None:
        of = service("web", port(80, "t", TCP), port(80, "u", UDP), port(80, "s", SCTP))
        pieces = [
            piece("web", "b1", name="1", ports=[("t", 8080, TCP)]),
            piece("web", "b2", name="2", ports=[("u", 8080, UDP)]),
            piece("web", "b3", name="3", ports=[("s", 8080, SCTP)]),
        ]
        table = compiled(of, *pieces)
        assert [ask(table, "c1", CLUSTER_IP, 80, p).pods for p in (TCP, UDP, SCTP)] == [{"b1"}, {"b2"}, {"b3"}]

    def test_a_protocol_that_nobody_knows_is_left_out(self) -> None:
        of = service("web", ServicePort(port=80, protocol="DCCP"), port(81))
        assert [key.port for key in compiled(of).frontends] == [81]

    def test_the_first_meaning_of_an_address_counts(self) -> None:
        """The cluster IP, then load-balancer addresses, then external IPs."""
        of = service(vips=[VIP, CLUSTER_IP], external_ips=(VIP,), load_balancer_source_ranges=("203.0.113.0/24",))
        frontends = compiled(of, ONE_HERE_ONE_THERE).frontends
        assert frontends[FrontendKey(CLUSTER_IP, Protocol.TCP, 80)].sources is None
        assert frontends[FrontendKey(VIP, Protocol.TCP, 80)].sources == ("203.0.113.0/24",)

    @pytest.mark.parametrize("spec", [{"cluster_ip": "None"}, {"type": "ExternalName"}])
    def test_headless_and_external_name_services_have_none(self, spec: dict[str, Any]) -> None:
        found = compile_service(service(**spec), [ONE_HERE_ONE_THERE], view())
        assert (dict(found.frontends), found.cluster_ips) == ({}, frozenset())

    def test_a_service_of_another_proxy_has_none(self) -> None:
        of = service(labels={"service.kubernetes.io/service-proxy-name": "other"})
        assert not compile_service(of, [ONE_HERE_ONE_THERE], view()).frontends

    def test_a_service_without_ports_has_none(self) -> None:
        found = compile_service(service(ports=None), [ONE_HERE_ONE_THERE], view())
        assert (dict(found.frontends), found.cluster_ips) == ({}, frozenset())

    def test_badly_written_addresses_come_out_in_canonical_form(self) -> None:
        of = service(cluster_ip="010.096.0.010", external_ips=("198.051.100.009",))
        table = compiled(of, ONE_HERE_ONE_THERE)
        assert {key.address for key in table.frontends} == {CLUSTER_IP, EXTERNAL_IP}
        assert table.cluster_ips == {CLUSTER_IP}


class TestTheBackendsOfAFrontend:
    def test_the_backend_s_port_is_the_slice_s_not_the_service_s(self) -> None:
        (decision,) = ask(compiled(service(), piece("web", "b1")), "c1", CLUSTER_IP, 80).decisions
        assert decision.packet.destination == Endpoint(ADDRESSES["b1"][0], 8080)

    def test_several_endpoints_are_equally_likely(self) -> None:
        answers = ask(compiled(service(), piece("web", "b1", "b2", "b3", "b4")), "c1", CLUSTER_IP, 80)
        assert answers.pods == {"b1", "b2", "b3", "b4"}
        assert {decision.probability for decision in answers.decisions} == {1 / 4}

    def test_a_slice_port_joins_the_service_port_of_its_name(self) -> None:
        of = service("web", port(80, "x"), port(81, "y"))
        table = compiled(of, piece("web", "b1", ports=[("x", 8080), ("z", 9)]))
        assert ask(table, "c1", CLUSTER_IP, 80).pods == {"b1"}
        assert ask(table, "c1", CLUSTER_IP, 81).rejected

    def test_a_slice_port_of_another_protocol_does_not_join(self) -> None:
        table = compiled(service("web", port(53, "dns", UDP)), piece("web", "b1", ports=[("dns", 53, TCP)]))
        assert ask(table, "c1", CLUSTER_IP, 53, UDP).rejected

    def test_udp_flows_may_go_on_to_every_endpoint_that_serves(self) -> None:
        """Whatever readiness, topology and policy say of new ones."""
        of = service("web", port(53, "dns", UDP), internal_traffic_policy="Local")
        entries = [endpoint("b1"), draining("b2"), endpoint("b3", ready=False, serving=True), stopped("b4")]
        (frontend,) = compiled(of, piece("web", *entries, ports=[("dns", 5353, UDP)])).frontends.values()
        assert {e.address for e in frontend.serving or ()} == {ADDRESSES[name][0] for name in ("b1", "b2", "b3")}

    def test_udp_flows_may_go_on_to_an_endpoint_that_is_published_although_it_is_not_ready(self) -> None:
        published = endpoint("b1", ready=True, serving=False)
        table = compiled(service("web", port(53, "dns", UDP)), piece("web", published, ports=[("dns", 5353, UDP)]))
        (frontend,) = table.frontends.values()
        assert frontend.serving == {Endpoint(ADDRESSES["b1"][0], 5353)}

    def test_other_protocols_need_no_such_list(self) -> None:
        (frontend,) = compiled(service(), ONE_HERE_ONE_THERE).frontends.values()
        assert frontend.serving is None

    def test_sctp_has_one_if_the_operator_wants_it(self) -> None:
        of, pieces = service("web", port(80, "http", SCTP)), piece("web", "b1", ports=[("http", 80, SCTP)])
        for wanted, serving in ((False, None), (True, {Endpoint(ADDRESSES["b1"][0], 80)})):
            node = node_view(NodeOptions("n1", forget_sctp=wanted), None, ())
            (frontend,) = compiled(of, pieces, node=node).frontends.values()
            assert frontend.serving == serving


class TestDestinationsThatNobodyServes:
    def test_another_port_of_a_cluster_ip_is_rejected(self) -> None:
        assert ask(compiled(service(), ONE_HERE_ONE_THERE), "c1", CLUSTER_IP, 81).rejected

    def test_another_protocol_on_a_cluster_ip_is_rejected(self) -> None:
        assert ask(compiled(service(), ONE_HERE_ONE_THERE), "c1", CLUSTER_IP, 80, UDP).rejected

    def test_an_address_that_a_service_could_have_is_dropped(self) -> None:
        assert ask(compiled(service()), "c1", "10.96.0.11", 80).dropped
        assert ask(compiled(service()), "c1", "fd00:10:96::b", 80).dropped

    def test_another_port_of_an_external_address_is_none_of_our_business(self) -> None:
        table = compiled(service(vips=[VIP], external_ips=(EXTERNAL_IP,)), ONE_HERE_ONE_THERE)
        assert ask(table, "x1", VIP, 81).passed
        assert ask(table, "x1", EXTERNAL_IP, 81).passed

    def test_a_load_balancer_that_is_a_proxy_gets_its_own_packets(self) -> None:
        of = service(vips=[LoadBalancerIngress(ip=VIP, ip_mode="Proxy")])
        assert ask(compiled(of, ONE_HERE_ONE_THERE), "c1", VIP, 80).passed


class TestNodePorts:
    OF = service("web", port(node_port=NODE_PORT))

    @pytest.mark.parametrize("client", EVERYONE)
    def test_they_answer_on_the_node_s_addresses(self, client: str) -> None:
        answers = ask(compiled(self.OF, ONE_HERE_ONE_THERE), client, N1, NODE_PORT)
        assert (answers.pods, answers.seen_as) == ({"b1", "b3"}, {"n1"})

    def test_they_do_not_answer_on_other_nodes_addresses(self) -> None:
        assert ask(compiled(self.OF, ONE_HERE_ONE_THERE), "x1", ADDRESSES["n2"][0], NODE_PORT).passed

    def test_they_never_answer_on_loopback_addresses(self) -> None:
        everywhere = view(node_port_addresses=["0.0.0.0", "::"])
        table = compiled(self.OF, ONE_HERE_ONE_THERE, node=everywhere)
        assert ask(table, "n1", "127.0.0.1", NODE_PORT).passed
        assert ask(table, "n1", N1, NODE_PORT).forwarded

    def test_the_same_number_may_serve_tcp_and_udp(self) -> None:
        of = service("web", port(53, "t", TCP, node_port=30053), port(53, "u", UDP, node_port=30053))
        table = compiled(of, piece("web", "b1", ports=[("t", 5353, TCP)]), piece("web", "b3", ports=[("u", 53, UDP)]))
        assert ask(table, "x1", N1, 30053, TCP).pods == {"b1"}
        assert ask(table, "x1", N1, 30053, UDP).pods == {"b3"}

    def test_an_address_of_its_own_comes_before_a_node_port(self) -> None:
        of = service("web", port(NODE_PORT, "v"), port(81, "n", node_port=NODE_PORT), external_ips=(N1,))
        pieces = [piece("web", "b1", name="v", ports=[("v", 1)]), piece("web", "b3", name="n", ports=[("n", 1)])]
        assert ask(compiled(of, *pieces), "x1", N1, NODE_PORT).pods == {"b1"}


class TestDualStack:
    def test_each_family_has_its_own_address_and_endpoints(self) -> None:
        four, six = piece("web", "b1", name="4"), piece("web", "b4", name="6", family=Family.IPV6)
        table = compiled(dual_stack(), four, six)
        assert ask(table, "c1", CLUSTER_IP, 80).pods == {"b1"}
        assert ask(table, "c1", CLUSTER_IP6, 80).pods == {"b4"}

    def test_a_family_without_endpoints_is_rejected_alone(self) -> None:
        table = compiled(dual_stack(), piece("web", "b1"))
        assert ask(table, "c1", CLUSTER_IP, 80).forwarded
        assert ask(table, "c1", CLUSTER_IP6, 80).rejected

    def test_node_ports_answer_in_both_families(self) -> None:
        four, six = piece("web", "b1", name="4"), piece("web", "b4", name="6", family=Family.IPV6)
        table = compiled(dual_stack("web", port(node_port=NODE_PORT)), four, six)
        assert ask(table, "x1", N1, NODE_PORT).pods == {"b1"}
        assert ask(table, "x1", N1_6, NODE_PORT).pods == {"b4"}

    def test_masquerading_uses_the_node_s_address_of_the_same_family(self) -> None:
        table = compiled(dual_stack(), piece("web", "b4", family=Family.IPV6))
        (decision,) = ask(table, "x1", CLUSTER_IP6, 80).decisions
        assert decision.packet.source.address == N1_6


class TestInternalTrafficPolicyLocal:
    OF = service(internal_traffic_policy="Local")

    @pytest.mark.parametrize("client", EVERYONE)
    def test_everyone_gets_endpoints_of_this_node(self, client: str) -> None:
        assert ask(compiled(self.OF, piece("web", "b1", "b2", "b3")), client, CLUSTER_IP, 80).pods == {"b1", "b2"}

    @pytest.mark.parametrize("client", EVERYONE)
    def test_without_one_here_packets_are_dropped(self, client: str) -> None:
        assert ask(compiled(self.OF, piece("web", "b3")), client, CLUSTER_IP, 80).dropped

    @pytest.mark.parametrize("client", EVERYONE)
    def test_without_one_anywhere_they_are_rejected(self, client: str) -> None:
        assert ask(compiled(self.OF), client, CLUSTER_IP, 80).rejected
        assert ask(compiled(self.OF, piece("web", unready("b1"))), client, CLUSTER_IP, 80).rejected

    def test_node_ports_are_not_affected(self) -> None:
        of = service("web", port(node_port=NODE_PORT), internal_traffic_policy="Local")
        assert ask(compiled(of, piece("web", "b1", "b3")), "x1", N1, NODE_PORT).pods == {"b1", "b3"}


class TestExternalTrafficPolicyLocal:
    OF = service(
        "web", port(node_port=NODE_PORT), vips=[VIP], external_ips=(EXTERNAL_IP,), external_traffic_policy="Local"
    )
    ENTRIES = ((VIP, 80), (EXTERNAL_IP, 80), (N1, NODE_PORT))

    @pytest.mark.parametrize(("address", "number"), ENTRIES)
    def test_outside_clients_get_endpoints_of_this_node_and_are_seen_as_themselves(
        self, address: str, number: int
    ) -> None:
        answers = ask(compiled(self.OF, ONE_HERE_ONE_THERE), "x1", address, number)
        assert (answers.pods, answers.seen_as) == ({"b1"}, {"x1"})

    @pytest.mark.parametrize(("address", "number"), ENTRIES)
    def test_pods_take_the_short_way_to_any_endpoint_and_are_seen_as_themselves(
        self, address: str, number: int
    ) -> None:
        answers = ask(compiled(self.OF, ONE_HERE_ONE_THERE), "c1", address, number)
        assert (answers.pods, answers.seen_as) == ({"b1", "b3"}, {"c1"})

    @pytest.mark.parametrize(("address", "number"), ENTRIES)
    def test_this_node_takes_the_short_way_and_is_masqueraded(self, address: str, number: int) -> None:
        answers = ask(compiled(self.OF, ONE_HERE_ONE_THERE), "n1", address, number)
        assert (answers.pods, answers.seen_as) == ({"b1", "b3"}, {"n1"})
        assert all(decision.masquerade for decision in answers.decisions)

    @pytest.mark.parametrize(("address", "number"), ENTRIES)
    def test_pods_are_outside_clients_where_they_cannot_be_told(self, address: str, number: int) -> None:
        table = compiled(self.OF, ONE_HERE_ONE_THERE, node=view(pods_told=False))
        answers = ask(table, "c1", address, number)
        assert (answers.pods, answers.seen_as) == ({"b1"}, {"c1"})

    def test_the_cluster_ip_is_not_affected(self) -> None:
        answers = ask(compiled(self.OF, ONE_HERE_ONE_THERE), "c1", CLUSTER_IP, 80)
        assert (answers.pods, answers.seen_as) == ({"b1", "b3"}, {"c1"})

    def test_it_means_nothing_without_an_entry_from_outside(self) -> None:
        table = compiled(service(external_traffic_policy="Local"), piece("web", "b3"))
        assert ask(table, "x1", CLUSTER_IP, 80).pods == {"b3"}

    def test_with_both_policies_local_pods_still_take_the_short_way(self) -> None:
        of = service("web", port(node_port=NODE_PORT), external_traffic_policy="Local", internal_traffic_policy="Local")
        table = compiled(of, ONE_HERE_ONE_THERE)
        assert ask(table, "c1", CLUSTER_IP, 80).pods == {"b1"}
        assert ask(table, "c1", N1, NODE_PORT).pods == {"b1", "b3"}
        assert ask(table, "x1", N1, NODE_PORT).pods == {"b1"}

    def test_topology_narrows_the_short_way_but_not_the_local_one(self) -> None:
        """The way of pods with hints for this zone, beside local endpoints that are hinted for another."""
        hinted = piece("web", endpoint("b1", zones=["zb"]), endpoint("b3", zones=["za"]))
        table = compiled(self.OF, hinted)
        assert ask(table, "c1", VIP, 80).pods == {"b3"}
        assert ask(table, "x1", VIP, 80).pods == {"b1"}


INTERNAL = (CLUSTER_IP, 80)
ENTRANCES = [(VIP, 80), (EXTERNAL_IP, 80), (N1, NODE_PORT)]


class TestNoEndpointsToSendTo:
    """The matrix of refusals: REJECT when nobody could serve, DROP when only this node must not."""

    def table(self, *slices: EndpointSlice, pods_told: bool = True, **policies: Any) -> ForwardingTable:
        of = service("web", port(node_port=NODE_PORT), vips=[VIP], external_ips=(EXTERNAL_IP,), **policies)
        return compiled(of, *slices, node=view(pods_told=pods_told))

    @pytest.mark.parametrize("client", EVERYONE)
    @pytest.mark.parametrize(("address", "number"), [INTERNAL, *ENTRANCES])
    @pytest.mark.parametrize("policy", ["Cluster", "Local"])
    def test_without_any_endpoint_everyone_is_rejected_everywhere(
        self, client: str, address: str, number: int, policy: str
    ) -> None:
        table = self.table(external_traffic_policy=policy, internal_traffic_policy=policy)
        assert ask(table, client, address, number).rejected

    @pytest.mark.parametrize("client", EVERYONE)
    def test_without_a_local_endpoint_an_internally_local_cluster_ip_drops_everyone(self, client: str) -> None:
        table = self.table(piece("web", "b3"), internal_traffic_policy="Local")
        assert ask(table, client, *INTERNAL).dropped
        assert all(ask(table, client, *entrance).forwarded for entrance in ENTRANCES)

    @pytest.mark.parametrize(("address", "number"), ENTRANCES)
    def test_without_a_local_endpoint_an_externally_local_entrance_drops_outsiders_only(
        self, address: str, number: int
    ) -> None:
        table = self.table(piece("web", "b3"), external_traffic_policy="Local")
        assert ask(table, "x1", address, number).dropped
        assert ask(table, "c1", address, number).pods == {"b3"}
        assert ask(table, "n1", address, number).pods == {"b3"}
        assert ask(table, "x1", *INTERNAL).pods == {"b3"}

    @pytest.mark.parametrize(("address", "number"), ENTRANCES)
    def test_pods_that_cannot_be_told_are_dropped_with_the_outsiders(self, address: str, number: int) -> None:
        table = self.table(piece("web", "b3"), external_traffic_policy="Local", pods_told=False)
        assert ask(table, "c1", address, number).dropped
        assert ask(table, "n1", address, number).pods == {"b3"}

    def test_a_cluster_wide_service_with_only_unusable_endpoints_is_rejected(self) -> None:
        table = self.table(piece("web", unready("b1"), stopped("b3")))
        assert all(ask(table, "x1", *where).rejected for where in [INTERNAL, *ENTRANCES])


class TestTerminatingEndpoints:
    """The five situations of a rolling restart, with each policy, through a load-balancer address."""

    def pods(
        self, policy: str, *entries: SliceEndpoint | str, client: str = "x1", at: tuple[str, int] = (VIP, 80)
    ) -> set[str] | str:
        answers = ask(
            compiled(service(vips=[VIP], external_traffic_policy=policy), piece("web", *entries)), client, *at
        )
        if answers.forwarded:
            return answers.pods
        (outcome,) = answers.outcomes
        return outcome.value

    def test_only_ready_ones_while_there_are_some(self) -> None:
        entries = ("b1", draining("b2"), "b3", draining("b4"))
        assert self.pods("Cluster", *entries) == {"b1", "b3"}
        assert self.pods("Local", *entries) == {"b1"}

    def test_those_that_still_serve_when_none_is_ready(self) -> None:
        entries = (draining("b1"), stopped("b2"), draining("b3"))
        assert self.pods("Cluster", *entries) == {"b1", "b3"}
        assert self.pods("Local", *entries) == {"b1"}

    def test_a_draining_one_here_serves_outsiders_while_others_go_to_the_ready_one_there(self) -> None:
        entries = (draining("b1"), "b3")
        assert self.pods("Local", *entries) == {"b1"}
        assert self.pods("Local", *entries, client="c1") == {"b3"}
        assert self.pods("Local", *entries, at=INTERNAL) == {"b3"}

    def test_draining_ones_elsewhere_do_not_serve_a_local_entrance(self) -> None:
        entries = (draining("b3"), draining("b4"))
        assert self.pods("Local", *entries) == "dropped"
        assert self.pods("Local", *entries, at=INTERNAL) == {"b3", "b4"}

    @pytest.mark.parametrize("policy", ["Cluster", "Local"])
    def test_none_that_serves_is_a_rejection(self, policy: str) -> None:
        assert self.pods(policy, stopped("b1"), stopped("b3")) == "rejected"

    @pytest.mark.parametrize("policy", ["Cluster", "Local"])
    def test_no_endpoints_left_is_a_rejection(self, policy: str) -> None:
        assert self.pods(policy) == "rejected"


class TestSourceRanges:
    OF = service(
        "web",
        port(node_port=NODE_PORT),
        vips=[VIP, "198.51.100.8"],
        external_ips=(EXTERNAL_IP,),
        load_balancer_source_ranges=("192.0.2.48/28",),
    )

    @pytest.mark.parametrize("vip", [VIP, "198.51.100.8"])
    def test_sources_in_a_range_reach_the_load_balancer_addresses(self, vip: str) -> None:
        assert ask(compiled(self.OF, ONE_HERE_ONE_THERE), "x1", vip, 80).pods == {"b1", "b3"}

    @pytest.mark.parametrize("vip", [VIP, "198.51.100.8"])
    @pytest.mark.parametrize("client", ["c1", "n1", "203.0.113.5"])
    def test_all_others_are_dropped_pods_and_this_node_too(self, vip: str, client: str) -> None:
        assert ask(compiled(self.OF, ONE_HERE_ONE_THERE), client, vip, 80).dropped

    @pytest.mark.parametrize(("address", "number"), [INTERNAL, (EXTERNAL_IP, 80), (N1, NODE_PORT)])
    def test_other_entries_are_not_limited(self, address: str, number: int) -> None:
        assert ask(compiled(self.OF, ONE_HERE_ONE_THERE), "203.0.113.5", address, number).forwarded

    def test_without_endpoints_the_allowed_are_rejected_and_the_others_dropped(self) -> None:
        assert ask(compiled(self.OF), "x1", VIP, 80).rejected
        assert ask(compiled(self.OF), "c1", VIP, 80).dropped

    @pytest.mark.parametrize("source", ["n1", VIP, "198.51.100.8"])
    def test_a_node_within_the_ranges_may_come_from_its_own_address_or_from_either_vip(self, source: str) -> None:
        of = service(vips=[VIP, "198.51.100.8"], load_balancer_source_ranges=("192.0.2.0/28",))
        table = compiled(of, ONE_HERE_ONE_THERE)
        assert ask(table, source, VIP, 80).forwarded
        assert ask(table, source, "198.51.100.8", 80).forwarded

    def test_a_node_outside_the_ranges_may_not_come_from_the_vip(self) -> None:
        assert ask(compiled(self.OF, ONE_HERE_ONE_THERE), VIP, VIP, 80).dropped


class TestDetectLocal:
    OF = service("web", port(node_port=NODE_PORT), external_traffic_policy="Local")

    def table(self, rule: DetectLocal) -> ForwardingTable:
        return compiled(self.OF, ONE_HERE_ONE_THERE, node=view(detect_local=rule))

    def test_a_network_tells_pods_by_their_source(self) -> None:
        table = self.table(DetectLocal(("10.244.1.0/24",)))
        assert ask(table, "c1", N1, NODE_PORT).pods == {"b1", "b3"}
        assert ask(table, "b3", N1, NODE_PORT).pods == {"b1"}

    def test_an_interface_tells_pods_by_where_they_come_in(self) -> None:
        table = self.table(DetectLocal(interface="pod-c1"))
        assert ask(table, "c1", N1, NODE_PORT).pods == {"b1", "b3"}
        assert ask(table, "c2", N1, NODE_PORT).pods == {"b1"}

    def test_a_prefix_tells_them_by_how_the_interface_s_name_begins(self) -> None:
        table = self.table(DetectLocal(interface="pod-", prefix=True))
        assert ask(table, "c2", N1, NODE_PORT).pods == {"b1", "b3"}
        assert ask(table, "x1", N1, NODE_PORT).pods == {"b1"}

    def test_this_node_is_no_pod_where_interfaces_tell_them(self) -> None:
        answers = ask(self.table(DetectLocal(interface="pod-", prefix=True)), "n1", CLUSTER_IP, 80)
        assert all(decision.masquerade for decision in answers.decisions)

    def test_a_family_without_a_network_has_no_pods(self) -> None:
        of = dual_stack("web", port(node_port=NODE_PORT), external_traffic_policy="Local")
        six = piece("web", "b1", "b3", family=Family.IPV6)
        node = view(detect_local=DetectLocal(("10.244.0.0/16",)))
        assert ask(compiled(of, six, node=node), "c1", N1_6, NODE_PORT).pods == {"b1"}
