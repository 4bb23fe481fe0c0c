"""Connections that the kernel translates become an engine's, as far as its table has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from dataplane.table import Endpoint, Protocol
from dataplane.userspace.saved import SavedFlow
from dataplane.userspace.taken_over import connections
from lab.network.namespace import Namespace
from small_node import Node

pytestmark = pytest.mark.kernel

CLIENT, SERVICE, NODE, BACKEND, ELSEWHERE = "10.244.1.10", "10.96.0.10", "192.0.2.1", "10.244.1.21", "10.244.2.24"


@pytest.fixture
def machine() -> Iterator[Namespace]:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace of its own")
    machine = Namespace(f"taken-{os.getpid()}", "a").create()
    try:
        yield machine
    finally:
        machine.delete()


def known(
    machine: Namespace,
    asked: str,
    answers: str,
    seen_as: str,
    *,
    protocol: str = "tcp",
    more: str = "--state ESTABLISHED",
) -> None:
    """Have the kernel know a connection from CLIENT, port 40000."""
    (to, to_port), (by, by_port), (seen, seen_port) = (end.rsplit(":", 1) for end in (asked, answers, seen_as))
    words = f"-I -p {protocol} -t 100 -u SEEN_REPLY -s {CLIENT} --sport 40000 -d {to} --dport {to_port}"
    reply = f"-r {by} --reply-port-src {by_port} -q {seen} --reply-port-dst {seen_port}"
    machine.run(["conntrack", *words.split(), *reply.split(), *more.split()])


def taken(machine: Namespace, node: Node) -> tuple[SavedFlow, ...]:
    return machine.call(lambda: connections(node.engine.table, node.engine.host)).flows


def test_a_connection_goes_on_as_the_kernel_had_it(machine: Namespace, node: Node) -> None:
    known(machine, f"{SERVICE}:80", f"{BACKEND}:8080", f"{CLIENT}:40000")
    (flow,) = taken(machine, node)
    assert (flow.name, flow.backend) == ("default/web:http", Endpoint(BACKEND, 8080))
    assert (flow.masquerade, flow.hairpin, flow.node_port) == (False, False, False)
    assert 0 < flow.milliseconds <= 100_000
    assert node.engine.restore(machine.call(lambda: connections(node.engine.table, node.engine.host)), node.now) == 1
    result = node.send(CLIENT, 40000, SERVICE, 80, signals="A")
    assert not result.new
    assert ip_address(BACKEND).packed in result.data


def test_whom_the_backend_sees_stays_the_same(machine: Namespace, node: Node) -> None:
    known(machine, f"{NODE}:30080", f"{BACKEND}:8080", f"{NODE}:51234")
    (flow,) = taken(machine, node)
    assert (flow.seen_as, flow.masquerade, flow.node_port) == (Endpoint(NODE, 51234), True, True)


def test_flows_of_udp_go_on_too(machine: Namespace, node: Node) -> None:
    known(machine, f"{SERVICE}:53", f"{ELSEWHERE}:8053", f"{CLIENT}:40000", protocol="udp", more="")
    (flow,) = taken(machine, node)
    assert flow.protocol is Protocol.UDP


@pytest.mark.parametrize(
    ("asked", "answers", "more"),
    [
        ("10.96.0.99:80", f"{BACKEND}:8080", "--state ESTABLISHED"),
        (f"{SERVICE}:80", "10.244.9.9:8080", "--state ESTABLISHED"),
        (f"{SERVICE}:80", f"{BACKEND}:8080", "--state TIME_WAIT"),
        (f"{BACKEND}:8080", f"{BACKEND}:8080", "--state ESTABLISHED"),
    ],
    ids=["of no Service", "to a backend that is gone", "that is over", "to a pod itself"],
)
def test_others_are_left_out(machine: Namespace, node: Node, asked: str, answers: str, more: str) -> None:
    known(machine, asked, answers, f"{CLIENT}:40000", more=more)
    assert taken(machine, node) == ()
