"""The lab's machines: who can reach whom, and that the host's own network never notices."""

from __future__ import annotations

import socket
import subprocess
from ipaddress import ip_network
from pathlib import Path

import pytest

from dataplane.errors import InputError
from lab.network.links import inside
from lab.network.namespace import Namespace
from lab.network.network import Network, pod_interface
from lab.network.probe import HeldConnection, Probe, fetch, run_probe
from lab.network.topology import Pod, Topology, cluster_topology, pod_cidr
from patience import PATIENCE

kernel = pytest.mark.kernel


def host_interfaces() -> list[str]:
    return sorted(name for _, name in socket.if_nameindex())


def test_each_node_gets_its_own_part_of_the_cluster_cidr() -> None:
    first, second, *_ = cluster_topology(2).hosts
    assert first.pod_cidrs == ("10.244.1.0/24", "fd00:244:1::/64")
    assert second.pod_cidrs == ("10.244.2.0/24", "fd00:244:2::/64")


def test_a_cluster_of_one_family_has_no_address_of_the_other() -> None:
    topology = cluster_topology(1, cluster_cidrs=["fd00:244::/32"])
    assert all(":" in address for host in topology.hosts for address in host.addresses)


@pytest.mark.parametrize("cidrs", [[], ["10.0.0.0/16", "10.1.0.0/16"], ["10.244.0.0/24"], ["10.244.0.1/16"], ["pods"]])
def test_cluster_cidrs_that_can_not_be_served_are_refused(cidrs: list[str]) -> None:
    with pytest.raises(InputError):
        cluster_topology(2, cluster_cidrs=cidrs)


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "172.16.0.0/16", "fd00:1::/32", "fd00:1:10::/44"])
def test_pod_cidrs_of_different_nodes_do_not_overlap(cidr: str) -> None:
    parts = [ip_network(pod_cidr(ip_network(cidr), number)) for number in range(1, 10)]
    assert all(part.subnet_of(ip_network(cidr)) for part in parts)  # type: ignore[arg-type]
    assert not any(a.overlaps(b) for a in parts for b in parts if a is not b)


@pytest.mark.parametrize("name", ["", "a.b", "../x", "Lab", "-x", "x" * 33])
def test_a_lab_name_that_could_reach_into_another_lab_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        Namespace(name, "n1")


def test_the_interface_of_a_pod_with_a_long_name_fits_the_kernel_and_stays_its_own() -> None:
    names = {pod_interface(f"default.web-6d4cf56db6-{suffix}") for suffix in ("x7k2p", "x7k2q")}
    assert len(names) == 2
    assert all(len(name) <= 15 for name in names)


@kernel
@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("c1", "10.244.1.21"),
        ("c1", "10.244.2.23"),
        ("c1", "fd00:244:2::17"),
        ("b3", "fd00:244:1::15"),
        ("x1", "10.244.2.23"),
        ("x1", "fd00:244:1::a"),
        ("cp", "10.244.1.21"),
        ("n2", "10.244.1.21"),
        ("n1", "fd00:244:1::a"),
    ],
)
def test_every_machine_reaches_every_pod(network: Network, servers: Path, source: str, address: str) -> None:
    outcome = run_probe(network[source], Probe(address, 8080, count=1, timeout=PATIENCE))
    assert outcome.errors == ()
    owner = next(pod.name for pod in network.topology.pods if address in pod.addresses)
    assert set(outcome.pods) == {owner}


@kernel
def test_a_pod_sees_the_real_address_of_its_peer(network: Network, servers: Path) -> None:
    for address, peer in (("10.244.2.23", "192.0.2.50"), ("fd00:244:2::17", "fd00:192::32")):
        assert run_probe(network["x1"], Probe(address, 8080, count=2, timeout=PATIENCE)).peers == {peer}


@kernel
def test_a_closed_port_is_refused_and_a_service_address_without_a_proxy_times_out(
    network: Network, servers: Path
) -> None:
    assert run_probe(network["c1"], Probe("10.244.2.23", 7, count=2, timeout=PATIENCE)).errors == ("refused", "refused")
    assert run_probe(network["x1"], Probe("10.96.0.10", 80, count=1, timeout=0.3)).errors == ("timeout",)


@kernel
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("ports", [(20000,), (20001, 20002)])
def test_a_probe_can_choose_its_source_ports_again_and_again(
    network: Network, servers: Path, protocol: str, ports: tuple[int, ...]
) -> None:
    """Ports that the kernel gives to nobody: one that is given to another connection could not be had."""
    probe = Probe("10.244.1.21", 8080, protocol, count=4, serial=True, source_ports=ports, timeout=PATIENCE)
    outcome = run_probe(network["c1"], probe)
    assert [answer.peer_port for answer in outcome.answers] == list(ports) * (4 // len(ports))


@kernel
def test_a_held_connection_can_be_asked_again_and_is_cut_with_its_pod(
    network: Network, servers: Path, lab_name: str
) -> None:
    network.add_pod(Pod("short", "n1", ("10.244.1.99",)))
    listener = network["short"].socket()
    listener.bind(("10.244.1.99", 8080))
    listener.listen()
    held = HeldConnection(network["c1"], "10.244.1.21", 8080, timeout=PATIENCE)
    lost = HeldConnection(network["c1"], "10.244.1.99", 8080, timeout=PATIENCE)
    try:
        assert [held.ask(), held.ask()] == ["b1", "b1"]
        network.remove_pod("short")
        assert lost.ask(seconds=0.3) in ("timeout", "unreachable")
        assert pod_interface("short") not in network["n1"].run(["ip", "-o", "link"]).stdout
    finally:
        held.close()
        lost.close()
        listener.close()


@kernel
def test_http_can_be_fetched_from_inside_a_machine(network: Network, servers: Path) -> None:
    status, body = fetch(network["n2"], "10.244.1.10", 8081, timeout=PATIENCE)
    assert status == 200
    assert body.startswith(b"c1 on n1 sees 192.0.2.2:")


@kernel
def test_the_host_sees_neither_interfaces_nor_forwarding(lab_name: str) -> None:
    before = host_interfaces(), Path("/proc/sys/net/ipv4/ip_forward").read_text()
    network = Network(f"{lab_name}-unseen", cluster_topology(1)).create()
    try:
        assert (host_interfaces(), Path("/proc/sys/net/ipv4/ip_forward").read_text()) == before
        assert network["n1"].call(lambda: Path("/proc/sys/net/ipv4/ip_forward").read_text()) == "1\n"
        # Known to `ip netns` too.
        names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        assert network["n1"].name in names
    finally:
        network.delete()
    assert host_interfaces() == before[0]


@kernel
def test_a_network_that_can_not_be_made_leaves_nothing(lab_name: str) -> None:
    lab = f"{lab_name}-broken"
    good = cluster_topology(1)
    bad = Topology(good.hosts, (Pod("p", "n1", ("10.244.1.5", "10.244.1.5")),), good.segment_cidrs)
    with pytest.raises(Exception, match="File exists"):
        Network(lab, bad).create()
    assert Namespace.of_lab(lab) == []


@kernel
def test_work_inside_a_namespace_leaves_the_caller_where_it_was(network: Network) -> None:
    before = host_interfaces()
    assert inside(network["n1"], lambda links: links.index("pod-c1")) > 0
    with pytest.raises(KeyError, match="nothing"):
        inside(network["n1"], lambda links: links.index("nothing"))
    assert host_interfaces() == before
