from lab.controllers.endpointslice.endpoint import endpoint_of_pod
from lab.controllers.endpointslice.ports import EndpointPort, ports_of_pod


def conditions(make, service=None, **pod):
    endpoint = endpoint_of_pod(make.pod("p", "10.0.0.1", **pod), None, service or make.service(), "IPv4")
    return tuple(endpoint["conditions"][name] for name in ("ready", "serving", "terminating"))


def test_a_ready_pod_is_ready_and_serving(make):
    assert conditions(make) == (True, True, False)


def test_a_pod_whose_probe_fails_is_neither_ready_nor_serving(make):
    assert conditions(make, ready=False) == (False, False, False)


def test_a_ready_pod_that_is_being_deleted_serves_on_but_is_not_ready(make):
    assert conditions(make, going=True) == (False, True, True)


def test_publish_not_ready_addresses_makes_everyone_ready_and_says_still_who_serves(make):
    service = make.service(publishNotReadyAddresses=True)
    assert conditions(make, service, ready=False, going=True) == (True, False, True)


def test_an_endpoint_tells_its_pod_its_node_and_its_zone(make):
    endpoint = endpoint_of_pod(make.pod("p", "10.0.0.1"), make.node("n1", "za"), make.service(), "IPv4")
    assert endpoint["nodeName"] == "n1"
    assert endpoint["zone"] == "za"
    assert endpoint["targetRef"] == {"kind": "Pod", "namespace": "default", "name": "p", "uid": "pod-p"}


def test_a_pod_has_one_endpoint_in_each_family_that_it_has_an_address_of(make):
    pod = make.pod("p", "10.0.0.1", "fd00::1")
    addresses = [endpoint_of_pod(pod, None, make.service(), family)["addresses"] for family in ("IPv4", "IPv6")]
    assert addresses == [["10.0.0.1"], ["fd00::1"]]
    assert endpoint_of_pod(make.pod("q", "10.0.0.2"), None, make.service(), "IPv6") is None


def test_a_pod_that_names_itself_under_the_service_has_a_hostname(make):
    pod = make.pod("p", "10.0.0.1", hostname="db-0", subdomain="web")
    assert endpoint_of_pod(pod, None, make.service("web"), "IPv4")["hostname"] == "db-0"
    assert "hostname" not in endpoint_of_pod(pod, None, make.service("other"), "IPv4")


def test_a_target_port_that_is_a_number_is_taken_as_it_is(make):
    assert ports_of_pod(make.service(), make.pod("p")) == (EndpointPort("http", 8080, "TCP"),)


def test_a_named_target_port_is_looked_up_in_each_pod(make):
    service = make.service(ports=[{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}])
    pods = [make.pod("p", containers=[make.container(web=number)]) for number in (8080, 9090)]
    assert [ports_of_pod(service, pod)[0].port for pod in pods] == [8080, 9090]


def test_a_named_port_counts_only_with_the_right_protocol(make):
    service = make.service(ports=[{"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"}])
    container = {"name": "c", "ports": [{"name": "dns", "containerPort": 53, "protocol": "TCP"}]}
    assert ports_of_pod(service, make.pod("p", containers=[container])) == ()
    container["ports"].append({"name": "dns", "containerPort": 5353, "protocol": "UDP"})
    assert ports_of_pod(service, make.pod("p", containers=[container])) == (EndpointPort("dns", 5353, "UDP"),)


def test_sidecars_may_hold_the_named_port_but_ordinary_init_containers_may_not(make):
    service = make.service(ports=[{"name": "http", "port": 80, "targetPort": "web"}])
    sidecar = make.container(web=15000)
    assert ports_of_pod(service, make.pod("p", initContainers=[sidecar])) == ()
    sidecar["restartPolicy"] = "Always"
    assert ports_of_pod(service, make.pod("p", initContainers=[sidecar]))[0].port == 15000


def test_a_port_that_the_pod_does_not_know_does_not_hide_the_others(make):
    ports = [
        {"name": "http", "port": 80, "targetPort": "web"},
        {"name": "metrics", "port": 9100, "targetPort": 9100},
    ]
    assert [port.name for port in ports_of_pod(make.service(ports=ports), make.pod("p"))] == ["metrics"]


def test_the_application_protocol_goes_along(make):
    service = make.service(ports=[{"name": "http", "port": 80, "targetPort": 80, "appProtocol": "kubernetes.io/h2c"}])
    (port,) = ports_of_pod(service, make.pod("p"))
    assert port.to_object() == {
        "name": "http",
        "port": 80,
        "protocol": "TCP",
        "appProtocol": "kubernetes.io/h2c",
    }
