"""Real packets between the pods of one node, through AF_XDP sockets and the engine."""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dataplane.table import Endpoint, Family
from dataplane.userspace.xdp.port import Where
from lab.network.namespace import Namespace
from lab.network.network import Network, pod_interface
from lab.network.probe import HeldConnection, Probe, run_probe
from lab.network.topology import Pod
from patience import PATIENCE
from xdp_node import ADDRESSES, SERVICE, Node, pods, table

pytestmark = pytest.mark.kernel

EITHER = pytest.mark.parametrize("family", Family, ids=lambda family: family.word)
BULK = 9000  #: of what a test itself listens at
MANY = 40  #: connections, of which one of two backends gets all once in 10^11
BOTH = pytest.mark.parametrize("protocol", ["tcp", "udp"])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with pods(f"xdp-{os.getpid()}", tmp_path_factory.mktemp("pods")) as made:
        yield made


@pytest.fixture(scope="module", params=({"where": Where.NATIVE}, {"where": Where.GENERIC}, {"busy_poll": 20}), ids=str)
def node(request: pytest.FixtureRequest, network: Network) -> Iterator[Node]:
    node = Node(network["n1"], **request.param)
    assert set(node.port.interfaces.values()) == {request.param.get("where", Where.NATIVE)}
    yield node
    node.close()


def eventually(true: Callable[[], bool]) -> bool:
    """Whether it becomes true, within patience."""
    end = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def goes_directly(node: Node, client: Namespace) -> bool:
    """Whether the kernel's path has no part in what this client asks."""
    before = node.counted["to_kernel"]
    outcome = run_probe(client, Probe(SERVICE[Family.IPV4], 80, "udp", count=2))
    return outcome.errors == () and node.counted["to_kernel"] == before


@EITHER
@BOTH
def test_a_pod_reaches_a_service(node: Node, network: Network, family: Family, protocol: str) -> None:
    before = node.counted
    outcome = run_probe(network["c1"], Probe(SERVICE[family], 80, protocol, count=MANY, timeout=PATIENCE))
    after = node.counted
    assert set(outcome.pods) == {"b1", "b2"}
    assert outcome.errors == ()
    assert outcome.peers == {ADDRESSES[family]["c1"]}
    assert after["sent"] - before["sent"] >= 2 * MANY
    assert after["lost"] == before["lost"]


@EITHER
@BOTH
def test_a_pod_reaches_itself_through_its_service(node: Node, network: Network, family: Family, protocol: str) -> None:
    outcome = run_probe(network["b1"], Probe(SERVICE[family], 80, protocol, count=MANY, timeout=PATIENCE))
    assert set(outcome.pods) == {"b1", "b2"}
    assert outcome.errors == ()
    assert outcome.peers == {ADDRESSES[family]["b1"], ADDRESSES[family]["n1"]}


@EITHER
@BOTH
def test_a_port_that_is_not_served_is_refused(node: Node, network: Network, family: Family, protocol: str) -> None:
    assert (
        run_probe(network["c1"], Probe(SERVICE[family], 81, protocol, count=4, timeout=PATIENCE)).errors
        == ("refused",) * 4
    )


@EITHER
@BOTH
def test_what_goes_past_services_is_let_by(node: Node, network: Network, family: Family, protocol: str) -> None:
    before = node.counted
    # Ports that no flow to a Service has: nobody who reads b1's answers could tell the one from the other.
    ports = tuple(range(20001, 20009))
    probe = Probe(ADDRESSES[family]["b1"], 8080, protocol, count=8, source_ports=ports, timeout=PATIENCE)
    outcome = run_probe(network["c1"], probe)
    assert dict(outcome.pods) == {"b1": 8}
    # Answers come from a backend, so they are looked at, and go on by the kernel's path. What was sent is counted
    # after it was sent, when it may have arrived already.
    assert eventually(lambda: node.counted["passed"] - before["passed"] >= 8)


def test_every_packet_is_accounted_for(node: Node, network: Network) -> None:
    run_probe(network["c1"], Probe(SERVICE[Family.IPV4], 80, "udp", count=8))
    becomes = ("forwarded", "passed", "answered", "dropped", "lost")

    def accounted_for() -> bool:
        counted = node.counted
        return counted["received"] == sum(counted[name] for name in becomes) > 0

    assert eventually(accounted_for)


def test_a_connection_goes_on_when_its_backend_leaves_the_service(node: Node, network: Network) -> None:
    node.apply(table("b1"))
    held = HeldConnection(network["c1"], SERVICE[Family.IPV4], 80, timeout=PATIENCE)
    try:
        assert held.ask() == "b1"
        new = table("b2")
        # b1 serves nothing now, and it has a connection of its Service: what it sends must still come here.
        node.port.steer(
            new, node.host, busy=lambda user: user == ("default/web:http", Endpoint(ADDRESSES[Family.IPV4]["b1"], 8080))
        )
        node.engine.apply(new)
        assert held.ask() == "b1"
        assert dict(run_probe(network["c1"], Probe(SERVICE[Family.IPV4], 80, count=4, timeout=PATIENCE)).pods) == {
            "b2": 4
        }
    finally:
        held.close()
        node.apply(table("b1", "b2"))


@EITHER
def test_a_datagram_in_pieces_arrives_whole(node: Node, network: Network, family: Family) -> None:
    sent = bytes(range(251)) * 20
    node.apply(table("b1", port=BULK))
    before = node.counted
    with (
        machine_socket(network, "b1", family, socket.SOCK_DGRAM) as far,
        machine_socket(network, "c1", family, socket.SOCK_DGRAM) as near,
    ):
        far.bind(("::" if family is Family.IPV6 else "0.0.0.0", BULK))
        near.connect((SERVICE[family], 80))
        near.send(sent)
        received, client = far.recvfrom(2 * len(sent))
        assert received == sent
        far.sendto(sent, client)
        assert near.recv(2 * len(sent)) == sent
    assert node.counted["received"] - before["received"] >= 8  # four pieces each way
    node.apply(table("b1", "b2"))


@EITHER
def test_bulk_data_arrives_as_it_was_sent(node: Node, network: Network, family: Family) -> None:
    if Where.GENERIC in node.port.interfaces.values():
        pytest.skip("its segments of more than a frame take the way of the packet queues, and there are none here")
    sent = random.Random(1).randbytes(4 << 20)
    received = bytearray()
    node.apply(table("b1", port=BULK))
    before = node.counted
    with machine_socket(network, "b1", family, socket.SOCK_STREAM) as listener:
        listener.bind(("::" if family is Family.IPV6 else "0.0.0.0", BULK))
        listener.listen()

        def receive() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE)
                while part := connection.recv(1 << 20):
                    received.extend(part)

        far = threading.Thread(target=receive)
        far.start()
        with machine_socket(network, "c1", family, socket.SOCK_STREAM) as near:
            near.connect((SERVICE[family], 80))
            near.sendall(sent)
        far.join()
    assert received == sent
    # No segment was larger than the cable takes, so none went another way.
    assert node.counted["sent"] - before["sent"] >= len(sent) // 1500
    assert node.counted["to_kernel"] == before["to_kernel"]
    node.apply(table("b1", "b2"))


def machine_socket(network: Network, name: str, family: Family, kind: socket.SocketKind) -> socket.socket:
    made = network[name].socket(socket.AF_INET6 if family is Family.IPV6 else socket.AF_INET, kind)
    made.settimeout(PATIENCE)
    return made


def test_pods_come_and_go(node: Node, network: Network) -> None:
    for _ in range(2):
        machine = network.add_pod(Pod("c9", "n1", ("10.244.1.99",)))
        assert eventually(lambda: pod_interface("c9") in node.port.interfaces)
        assert run_probe(machine, Probe(SERVICE[Family.IPV4], 80, count=8, timeout=PATIENCE)).errors == ()
        assert eventually(lambda machine=machine: goes_directly(node, machine))
        network.remove_pod("c9")
        assert eventually(lambda: pod_interface("c9") not in node.port.interfaces)
    assert run_probe(network["c1"], Probe(SERVICE[Family.IPV4], 80, count=8, timeout=PATIENCE)).errors == ()


def test_a_neighbour_that_nobody_knows_is_found_by_the_kernel(node: Node, network: Network) -> None:
    interface, address = pod_interface("b1"), ADDRESSES[Family.IPV4]["b1"]

    def neighbours(words: str) -> None:
        network["n1"].run(["ip", "neighbour", *words.split(), "dev", interface])

    mac = json.loads(network["b1"].run(["ip", "-j", "link", "show", "eth0"]).stdout)[0]["address"]
    node.apply(table("b1"))
    neighbours(f"delete {address}")
    try:
        before = node.counted["to_kernel"]
        assert eventually(
            lambda: (
                run_probe(network["c1"], Probe(SERVICE[Family.IPV4], 80, "udp", count=2)).errors == ()
                and node.counted["to_kernel"] > before
            )
        )

        assert eventually(lambda: goes_directly(node, network["c1"]))
    finally:
        neighbours(f"replace {address} lladdr {mac} nud permanent")
        node.apply(table("b1", "b2"))
