from lab.controllers.endpoints.subsets import endpoints_for, subsets_of

HTTP = {"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}
METRICS = {"name": "metrics", "port": 9100, "targetPort": 9100, "protocol": "TCP"}


def shape(subsets):
    """Each subset as (ready addresses, not ready ones, port numbers)."""
    return [
        (
            [a["ip"] for a in s.get("addresses", ())],
            [a["ip"] for a in s.get("notReadyAddresses", ())],
            [p["port"] for p in s.get("ports", ())],
        )
        for s in subsets
    ]


def test_ready_and_not_ready_addresses_are_listed_apart(make):
    pods = [make.pod("b", "10.0.0.10"), make.pod("a", "10.0.0.9"), make.pod("c", "10.0.0.11", ready=False)]
    subsets, _ = subsets_of(make.service(), pods)
    assert shape(subsets) == [(["10.0.0.9", "10.0.0.10"], ["10.0.0.11"], [8080])]


def test_a_pod_that_is_being_deleted_is_in_no_list(make):
    pods = [make.pod("a", "10.0.0.1", going=True), make.pod("b", "10.0.0.2")]
    assert shape(subsets_of(make.service(), pods)[0]) == [(["10.0.0.2"], [], [8080])]


def test_publish_not_ready_addresses_lists_everybody_as_ready(make):
    pods = [make.pod("a", "10.0.0.1", going=True), make.pod("b", "10.0.0.2", ready=False)]
    service = make.service(publishNotReadyAddresses=True)
    assert shape(subsets_of(service, pods)[0]) == [(["10.0.0.1", "10.0.0.2"], [], [8080])]


def test_ports_that_all_have_share_a_subset_and_others_have_their_own(make):
    service = make.service(ports=[HTTP, METRICS])
    pods = [
        make.pod("a", "10.0.0.1", containers=[make.container(web=8080)]),
        make.pod("b", "10.0.0.2", containers=[make.container(web=9090)]),
    ]
    assert sorted(shape(subsets_of(service, pods)[0])) == [
        (["10.0.0.1"], [], [8080]),
        (["10.0.0.1", "10.0.0.2"], [], [9100]),
        (["10.0.0.2"], [], [9090]),
    ]


def test_only_the_primary_family_is_listed(make):
    service = make.service(ipFamilies=["IPv6", "IPv4"])
    assert shape(subsets_of(service, [make.pod("a", "10.0.0.1", "fd00::1")])[0]) == [(["fd00::1"], [], [8080])]


def test_a_headless_service_without_ports_lists_addresses_alone(make):
    service = make.service(clusterIP="None", ports=[])
    assert shape(subsets_of(service, [make.pod("a", "10.0.0.1")])[0]) == [(["10.0.0.1"], [], [])]


def test_beyond_the_limit_addresses_are_cut_off_the_not_ready_ones_first(make):
    pods = [make.pod(f"p{i}", f"10.0.0.{i}", ready=i > 2) for i in range(1, 6)]
    subsets, truncated = subsets_of(make.service(), pods, limit=3)
    assert shape(subsets) == [(["10.0.0.3", "10.0.0.4", "10.0.0.5"], [], [8080])]
    assert truncated


def test_more_than_a_thousand_addresses_are_noted_in_an_annotation(make):
    pods = [make.pod(f"p{i}", f"10.0.{i // 256}.{i % 256}") for i in range(1001)]
    made = endpoints_for(make.service(), pods, None)
    assert made["metadata"]["annotations"] == {"endpoints.kubernetes.io/over-capacity": "truncated"}
    assert len(made["subsets"][0]["addresses"]) == 1000


def test_nothing_is_written_when_nothing_has_changed(make):
    pods = [make.pod("a", "10.0.0.1")]
    made = endpoints_for(make.service(), pods, None, trigger_time="2026-01-01T00:00:00Z")
    assert endpoints_for(make.service(), pods, made) is None
    assert endpoints_for(make.service(), [], made)["subsets"] == []
