"""Services: what the server fills in, gives out, takes back and refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.api.errors import ApiError
from lab.api.registry import SERVICE_CIDRS, SERVICES
from lab.api.schema import copied
from lab.api.store import Store

CreateService = Callable[..., dict[str, Any]]


def change(store: Store, name: str = "web", **spec: Any) -> dict[str, Any]:
    """Update fields of a Service's spec (None removes one); return the spec."""
    obj = copied(store.get(SERVICES, "default", name))
    obj["spec"] = {k: v for k, v in (obj["spec"] | spec).items() if v is not None}
    changed: dict[str, Any] = store.update(SERVICES, obj)["spec"]
    return changed


def refusal(create: CreateService, **spec: Any) -> str:
    with pytest.raises(ApiError) as refused:
        create("bad", **spec)
    assert refused.value.code == 422
    return str(refused.value).removeprefix('Service "bad" is invalid: ')


class TestDefaults:
    def test_a_port_alone_is_enough(self, create_service: CreateService) -> None:
        spec = create_service()
        assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
        assert (spec["type"], spec["sessionAffinity"]) == ("ClusterIP", "None")
        assert (spec["internalTrafficPolicy"], "externalTrafficPolicy" in spec) == ("Cluster", False)
        assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("SingleStack", ["IPv4"])
        assert spec["clusterIPs"] == [spec["clusterIP"]]

    def test_affinity_lasts_three_hours(self, create_service: CreateService) -> None:
        spec = create_service(sessionAffinity="ClientIP")
        assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}

    def test_what_can_be_reached_from_outside_has_an_external_policy(self, create_service: CreateService) -> None:
        assert create_service("a", type="NodePort")["externalTrafficPolicy"] == "Cluster"
        assert create_service("b", externalIPs=["192.0.2.99"])["externalTrafficPolicy"] == "Cluster"

    def test_a_headless_service_has_no_address(self, create_service: CreateService) -> None:
        spec = create_service(clusterIP="None", selector={"a": "b"})
        assert (spec["clusterIPs"], spec["ipFamilyPolicy"]) == (["None"], "SingleStack")

    def test_a_headless_service_without_selector_takes_both_families(self, create_service: CreateService) -> None:
        spec = create_service(clusterIP="None")
        assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")

    def test_an_external_name_has_neither_address_nor_family(self, create_service: CreateService) -> None:
        spec = create_service(type="ExternalName", externalName="example.com", ports=[])
        assert spec == {"type": "ExternalName", "externalName": "example.com", "sessionAffinity": "None"}


class TestClusterIPs:
    def test_they_come_from_the_upper_part_of_the_network(self, create_service: CreateService) -> None:
        addresses = {create_service(f"s{i}")["clusterIP"] for i in range(100)}
        assert len(addresses) == 100
        assert not any(a.startswith("10.96.0.") for a in addresses)  # the first 256 are for those who choose

    def test_a_chosen_one_is_given_once(self, create_service: CreateService) -> None:
        assert create_service(clusterIP="10.96.0.7")["clusterIPs"] == ["10.96.0.7"]
        assert refusal(create_service, clusterIP="10.96.0.7") == (
            'spec.clusterIPs: Invalid value: ["10.96.0.7"]: failed to allocate IP 10.96.0.7: '
            "provided IP is already allocated"
        )

    def test_it_must_be_in_the_network(self, create_service: CreateService) -> None:
        assert refusal(create_service, clusterIP="192.0.2.1").endswith(
            "the provided IP (192.0.2.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12"
        )

    def test_a_deleted_service_gives_it_back(self, store: Store, create_service: CreateService) -> None:
        create_service(clusterIP="10.96.0.7")
        store.delete(SERVICES, "default", "web")
        assert create_service(clusterIP="10.96.0.7")["clusterIP"] == "10.96.0.7"

    def test_it_never_changes(self, store: Store, create_service: CreateService) -> None:
        create_service()
        with pytest.raises(ApiError, match=r"spec.clusterIPs\[0\]: Invalid value: .* may not change once set"):
            change(store, clusterIP="10.96.0.9")

    def test_an_update_that_does_not_name_it_keeps_it(self, store: Store, create_service: CreateService) -> None:
        before = create_service()
        assert change(store, clusterIP=None, clusterIPs=None)["clusterIP"] == before["clusterIP"]

    def test_becoming_an_external_name_gives_it_back(self, store: Store, create_service: CreateService) -> None:
        create_service(clusterIP="10.96.0.7")
        spec = change(store, type="ExternalName", externalName="example.com")
        assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & spec.keys()
        assert create_service("other", clusterIP="10.96.0.7")["clusterIP"] == "10.96.0.7"
        assert change(store, type="ClusterIP", externalName=None)["clusterIP"] != "10.96.0.7"

    def test_a_full_network_says_so(self) -> None:
        store = Store(service_networks=["10.96.0.0/29"])
        for i in range(6):  # eight addresses, less the first and the last
            store.create(SERVICES, {"metadata": {"name": f"s{i}"}, "spec": {"ports": [{"port": 80}]}})
        with pytest.raises(ApiError, match="range is full"):
            store.create(SERVICES, {"metadata": {"name": "one-more"}, "spec": {"ports": [{"port": 80}]}})

    def test_another_service_cidr_widens_it(self, store: Store, create_service: CreateService) -> None:
        store.create(SERVICE_CIDRS, {"metadata": {"name": "more"}, "spec": {"cidrs": ["198.51.100.0/24"]}})
        assert create_service(clusterIP="198.51.100.7")["clusterIP"] == "198.51.100.7"


class TestFamilies:
    def test_two_are_given_where_two_are_preferred(self, create_service: CreateService) -> None:
        spec = create_service(ipFamilyPolicy="PreferDualStack")
        assert spec["ipFamilies"] == ["IPv4", "IPv6"]
        assert [":" in ip for ip in spec["clusterIPs"]] == [False, True]

    def test_the_first_family_is_that_of_the_cluster_ip(self, create_service: CreateService) -> None:
        spec = create_service(ipFamilies=["IPv6", "IPv4"], ipFamilyPolicy="RequireDualStack")
        assert ":" in spec["clusterIP"]
        assert create_service("six", clusterIP="fd00:10:96::7")["ipFamilies"] == ["IPv6"]

    def test_a_single_stack_cluster_gives_one_or_refuses(self) -> None:
        store = Store(service_networks=["10.96.0.0/12"])
        preferred = {"ports": [{"port": 80}], "ipFamilyPolicy": "PreferDualStack"}
        assert store.create(SERVICES, {"metadata": {"name": "a"}, "spec": preferred})["spec"]["ipFamilies"] == ["IPv4"]
        required = {"ports": [{"port": 80}], "ipFamilyPolicy": "RequireDualStack"}
        with pytest.raises(ApiError, match="this cluster is not configured for dual-stack services"):
            store.create(SERVICES, {"metadata": {"name": "b"}, "spec": required})
        six = {"ports": [{"port": 80}], "ipFamilies": ["IPv6"]}
        with pytest.raises(ApiError, match=r"ipFamilies\[0\]: Invalid value: \"IPv6\": not configured on this cluster"):
            store.create(SERVICES, {"metadata": {"name": "c"}, "spec": six})

    def test_a_second_family_can_come_and_go(self, store: Store, create_service: CreateService) -> None:
        first = create_service()["clusterIP"]
        both = change(store, ipFamilyPolicy="PreferDualStack")["clusterIPs"]
        assert (both[0], len(both)) == (first, 2)
        assert change(store, ipFamilyPolicy="SingleStack")["clusterIPs"] == [first]
        assert create_service("other", clusterIP=both[1])["clusterIP"] == both[1]  # it was given back


class TestNodePorts:
    def test_every_port_gets_one(self, create_service: CreateService) -> None:
        ports = create_service(type="NodePort", ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}])["ports"]
        numbers = {port["nodePort"] for port in ports}
        assert len(numbers) == 2
        assert numbers < set(range(30086, 32768))  # the lowest are for those who choose

    def test_one_port_under_two_protocols_gets_one_number(self, create_service: CreateService) -> None:
        ports = [{"name": "tcp", "port": 53}, {"name": "udp", "port": 53, "protocol": "UDP"}]
        first, second = create_service(type="NodePort", ports=ports)["ports"]
        assert first["nodePort"] == second["nodePort"]

    def test_a_taken_one_is_refused(self, create_service: CreateService) -> None:
        create_service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
        assert refusal(create_service, type="NodePort", ports=[{"port": 80, "nodePort": 30080}]) == (
            "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"
        )

    def test_one_out_of_range_is_refused(self, create_service: CreateService) -> None:
        assert refusal(create_service, type="NodePort", ports=[{"port": 80, "nodePort": 80}]) == (
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. "
            "The range of valid ports is 30000-32767"
        )

    def test_a_refused_service_keeps_nothing(self, create_service: CreateService) -> None:
        create_service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
        wanted = [{"name": "a", "port": 80, "nodePort": 30081}, {"name": "b", "port": 81, "nodePort": 30080}]
        refusal(create_service, clusterIP="10.96.0.7", type="NodePort", ports=wanted)
        ports = [{"port": 80, "nodePort": 30081}]
        assert (
            create_service("next", clusterIP="10.96.0.7", type="NodePort", ports=ports)["ports"][0]["nodePort"] == 30081
        )

    def test_an_update_that_does_not_name_it_keeps_it(self, store: Store, create_service: CreateService) -> None:
        before = create_service(type="NodePort")["ports"][0]["nodePort"]
        assert change(store, ports=[{"port": 80, "targetPort": 8080}])["ports"][0]["nodePort"] == before

    def test_it_can_move(self, store: Store, create_service: CreateService) -> None:
        create_service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
        change(store, ports=[{"port": 80, "nodePort": 30081}])
        assert create_service("other", type="NodePort", ports=[{"port": 80, "nodePort": 30080}])

    def test_becoming_a_cluster_ip_service_gives_it_back(self, store: Store, create_service: CreateService) -> None:
        create_service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
        spec = change(store, type="ClusterIP")
        assert "nodePort" not in spec["ports"][0]
        assert "externalTrafficPolicy" not in spec
        assert create_service("other", type="NodePort", ports=[{"port": 80, "nodePort": 30080}])

    def test_it_is_not_for_cluster_ip_services(self, create_service: CreateService) -> None:
        assert refusal(create_service, ports=[{"port": 80, "nodePort": 30080}]) == (
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"
        )

    def test_a_load_balancer_can_do_without(self, create_service: CreateService) -> None:
        assert "nodePort" in create_service("a", type="LoadBalancer")["ports"][0]
        without = create_service("b", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
        assert "nodePort" not in without["ports"][0]

    def test_a_local_load_balancer_has_a_health_check_port(self, store: Store, create_service: CreateService) -> None:
        spec = create_service(type="LoadBalancer", externalTrafficPolicy="Local")
        assert spec["healthCheckNodePort"] in range(30000, 32768)
        with pytest.raises(ApiError, match=r"healthCheckNodePort: Invalid value: .*: field is immutable"):
            change(store, healthCheckNodePort=30001)
        assert "healthCheckNodePort" not in change(store, externalTrafficPolicy="Cluster")


REFUSED = [
    ({"ports": []}, "spec.ports: Required value"),
    ({"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
    (
        {"ports": [{"port": 80, "targetPort": 65536}]},
        "spec.ports[0].targetPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
    ),
    (
        {"ports": [{"port": 80, "protocol": "ICMP"}]},
        'spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ),
    (
        {"ports": [{"port": 80}, {"port": 81, "name": "b"}]},
        "spec.ports[0].name: Required value",
    ),
    (
        {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]},
        'spec.ports[1].name: Duplicate value: "a"',
    ),
    (
        {"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]},
        'spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}',
    ),
    (
        {"type": "Magic"},
        'spec.type: Unsupported value: "Magic": '
        'supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
    ),
    ({"type": "ExternalName", "ports": []}, "spec.externalName: Required value"),
    ({"type": "NodePort", "clusterIP": "None"}, "may not be set to 'None' for NodePort services"),
    (
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}},
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: "
        "must be greater than 0 and less than 86400",
    ),
    (
        {"externalTrafficPolicy": "Local"},
        'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
    ),
    (
        {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/33"]},
        'spec.loadBalancerSourceRanges[0]: Invalid value: "10.0.0.0/33": '
        "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
    ),
    (
        {"externalIPs": ["127.0.0.1"]},
        'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ),
    (
        {"internalTrafficPolicy": "Near"},
        'spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"',
    ),
    (
        {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "SingleStack"},
        'spec.ipFamilyPolicy: Invalid value: "SingleStack": '
        "must be RequireDualStack or PreferDualStack when multiple IP families are specified",
    ),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED, ids=[message[:50] for _, message in REFUSED])
def test_what_is_wrong_is_said_in_one_line(create_service: CreateService, spec: dict[str, Any], message: str) -> None:
    assert message in refusal(create_service, **spec)


def test_several_errors_are_told_together_and_with_their_fields(store: Store) -> None:
    with pytest.raises(ApiError) as refused:
        store.create(SERVICES, {"metadata": {"name": "1web"}, "spec": {"ports": [{"port": 0}]}})
    details = refused.value.status["details"]
    assert (details["name"], details["kind"]) == ("1web", "Service")
    assert [cause["field"] for cause in details["causes"]] == ["metadata.name", "spec.ports[0].port"]
    assert str(refused.value).startswith('Service "1web" is invalid: [metadata.name: Invalid value: "1web": a DNS-1035')
