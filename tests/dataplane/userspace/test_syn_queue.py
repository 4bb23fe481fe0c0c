"""Packets that open connections wait in queues of their own, so that who floods a node with them fills only these."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from dataplane.table import (
    Backend,
    DetectLocal,
    Endpoint,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
)
from dataplane.userspace.dataplane import FIRST_QUEUE, UserspaceDataplane
from dataplane.userspace.port import Port, nfqueue_port
from lab.network.namespace import Namespace

pytestmark = pytest.mark.kernel

SERVICE, BACKEND = "10.96.0.10", "10.244.2.23"
SENT, ROOM = 20, 8


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Namespace]:
    """Rules of mode userspace for one TCP Service, and nobody who reads its queues: one for each kind of packets."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace of its own")
    machine = Namespace(f"syn-queue-{os.getpid()}", "a").create()
    try:
        machine.run(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"])
        machine.run(["ip", "address", "add", "192.0.2.1/24", "dev", "eth0"])
        machine.run(["ip", "link", "set", "eth0", "up"])
        machine.run(["ip", "route", "add", "default", "dev", "eth0"])
        with closing(machine.call(lambda: UserspaceDataplane(queues=1, folder=tmp_path))) as dataplane:
            machine.call(lambda: dataplane.apply(table()))
        yield machine
    finally:
        machine.delete()


def table() -> ForwardingTable:
    verdict = Forward(Pool((Backend(BACKEND, 8080, local=False),)), masquerade=False)
    key = FrontendKey(SERVICE, Protocol.TCP, 80)
    return ForwardingTable({key: Frontend(key, "default/web:http", verdict, verdict, verdict)})


@pytest.fixture
def queues(machine: Namespace) -> Iterator[tuple[Port, Port]]:
    """The queue of what opens connections, and that of all else. What comes waits there."""

    def queue(number: int) -> Port:
        return machine.call(lambda: nfqueue_port(number, ROOM, DetectLocal()))

    with closing(queue(FIRST_QUEUE + 1)) as opening, closing(queue(FIRST_QUEUE)) as others:
        yield opening, others


def connect(machine: Namespace, source: Endpoint, destination: Endpoint) -> None:
    """Send one SYN, and forget it before it is sent again."""
    with machine.socket(socket.AF_INET, socket.SOCK_STREAM) as opening:
        opening.setsockopt(socket.IPPROTO_IP, socket.IP_TRANSPARENT, 1)  # from addresses of others, too
        opening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opening.bind(source)
        opening.setblocking(False)
        assert opening.connect_ex(destination) == errno.EINPROGRESS


def acknowledge(machine: Namespace, destination: Endpoint) -> None:
    """Send a segment without SYN, of a connection that nobody here knows."""
    ports = (40000).to_bytes(2, "big") + destination.port.to_bytes(2, "big")
    raw = machine.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP))
    with raw, suppress(PermissionError):  # how the kernel says that there was no room
        raw.sendto(ports + bytes(8) + b"\x50\x10" + bytes(6), (destination.address, 0))


def test_a_flood_of_syns_to_a_service_leaves_room_for_what_is_open(
    machine: Namespace, queues: tuple[Port, Port]
) -> None:
    opening, others = queues
    for number in range(SENT):
        connect(machine, Endpoint("192.0.2.1", 40000 + number), Endpoint(SERVICE, 80))
    assert (opening.counters.missed, others.counters.missed) == (SENT - ROOM, 0)
    for _ in range(SENT):
        acknowledge(machine, Endpoint(SERVICE, 80))
    assert (opening.counters.missed, others.counters.missed) == (SENT - ROOM, SENT - ROOM)


def test_what_answers_a_syn_waits_with_the_syns(machine: Namespace, queues: tuple[Port, Port]) -> None:
    opening, others = queues
    for number in range(SENT):
        connect(machine, Endpoint(BACKEND, 8080), Endpoint("198.18.0.1", 40000 + number))
    assert (opening.counters.missed, others.counters.missed) == (SENT - ROOM, 0)
