from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.controllers.endpointslice.hints import (
    assigned_zones,
    cpus_of_zones,
    hinted,
    least_shares,
    shares,
    why_no_proportions,
)


def endpoint(zone="", node="n1", ready=True):
    found = {"addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "nodeName": node}
    return found | ({"zone": zone} if zone else {})


def hints(service, endpoints, nodes=()):
    return [e.get("hints") for e in hinted(service, endpoints, nodes)]


def zones(*names):
    return {"forZones": [{"name": name} for name in names]}


def auto(make):
    service = make.service()
    service["metadata"]["annotations"] = {"service.kubernetes.io/topology-mode": "Auto"}
    return service


def test_without_a_wish_there_are_no_hints(make):
    assert hints(make.service(), [endpoint("za")]) == [None]


@pytest.mark.parametrize("wish", ["PreferClose", "PreferSameZone"])
def test_prefer_same_zone_hints_each_endpoint_to_its_own_zone(make, wish):
    service = make.service(trafficDistribution=wish)
    assert hints(service, [endpoint("za"), endpoint("zb"), endpoint()]) == [zones("za"), zones("zb"), None]


def test_prefer_same_node_hints_to_the_node_and_to_its_zone_for_nodes_without_endpoints(make):
    service = make.service(trafficDistribution="PreferSameNode")
    assert hints(service, [endpoint("za", "n1"), endpoint("", "n2")]) == [
        {"forNodes": [{"name": "n1"}]} | zones("za"),
        {"forNodes": [{"name": "n2"}]},
    ]


def test_auto_keeps_endpoints_in_their_zone_where_that_is_fair(make):
    nodes = make.nodes(n1="za", n2="zb").values()
    endpoints = [endpoint("za"), endpoint("zb")] * 2
    assert hints(auto(make), endpoints, nodes) == [zones("za"), zones("zb")] * 2


def test_auto_lends_endpoints_to_a_zone_that_has_too_few(make):
    nodes = make.nodes(n1="za", n2="zb").values()
    given_zones = hints(auto(make), [endpoint("za")] * 4, nodes)
    assert given_zones == [zones("za"), zones("za"), zones("zb"), zones("zb")]


def test_auto_gives_no_hints_when_somebody_would_be_overloaded(make):
    nodes = make.nodes(n1="za", n2="zb").values()
    assert hints(auto(make), [endpoint("za")] * 3, nodes) == [None] * 3


def test_auto_counts_only_ready_endpoints_and_hints_only_those(make):
    nodes = make.nodes(n1="za", n2="zb").values()
    endpoints = [endpoint("za"), endpoint("za", ready=False), endpoint("zb")]
    assert hints(auto(make), endpoints, nodes) == [zones("za"), None, zones("zb")]


def test_auto_says_why_it_gives_none():
    two = {"za": Fraction(1), "zb": Fraction(1)}
    assert why_no_proportions([endpoint("za")], {"za": Fraction(1)}) == ("fewer than two zones have ready nodes")
    assert why_no_proportions([endpoint("za"), endpoint()], two) == "a ready endpoint has no zone"
    assert "too few" in why_no_proportions([endpoint("za")], two)
    assert why_no_proportions([endpoint("za"), endpoint("za")], two) is None


def test_the_annotation_goes_before_the_field(make):
    service = auto(make)
    service["spec"]["trafficDistribution"] = "PreferSameZone"
    nodes = make.nodes(n1="za", n2="zb").values()
    assert hints(service, [endpoint("za")] * 2, nodes) == [zones("za"), zones("zb")]


def test_a_zone_is_as_large_as_its_ready_workers(make):
    control_plane = make.node("cp", "za")
    control_plane["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = ""
    nodes = [
        make.node("n1", "za", cpu="2"),
        make.node("n2", "za", cpu="500m"),
        make.node("n3", "zb"),
        make.node("n4", "zb", ready=False),
        make.node("n5"),
        control_plane,
    ]
    assert cpus_of_zones(nodes) == {"za": Fraction(5, 2), "zb": Fraction(1)}


weights = st.dictionaries(st.sampled_from(["za", "zb", "zc", "zd"]), st.integers(1, 64).map(Fraction), min_size=2)


@given(count=st.integers(1, 60), cpus=weights, data=st.data())
def test_shares_add_up_and_overload_nobody(count, cpus, data):
    least = least_shares(count, cpus)
    if sum(least.values()) > count:
        return
    share = shares(count, cpus)
    assert sum(share.values()) == count
    assert all(share[zone] >= least[zone] >= 1 for zone in cpus)
    own = data.draw(st.lists(st.sampled_from([*cpus, "elsewhere"]), min_size=count, max_size=count))
    assigned = assigned_zones(own, share)
    assert Counter(assigned) == Counter(share)
    at_home = sum(1 for mine, given_zone in zip(own, assigned, strict=True) if mine == given_zone)
    assert at_home >= sum(min(Counter(own)[zone], share[zone]) for zone in cpus)
