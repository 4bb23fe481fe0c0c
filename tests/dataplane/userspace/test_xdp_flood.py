"""Packets that open connections have a ring of their own, so that who floods a node with them fills only that."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from dataplane.netlink.addresses import local_addresses
from dataplane.table import Family
from dataplane.userspace.image import Host
from dataplane.userspace.xdp.port import XdpPort
from lab.network.network import Network, pod_interface
from native.library import lib
from xdp_node import PODS, SERVICE, pods, table

pytestmark = pytest.mark.kernel

TOO_MANY = 40  #: more than there is room for
AT_ONCE = 64  #: fewer than a cable holds on their way
THERE = SERVICE[Family.IPV4], 80


@pytest.fixture
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with pods(f"flood-{os.getpid()}", tmp_path_factory.mktemp("pods")) as made:
        yield made


@pytest.fixture
def port(network: Network) -> Iterator[XdpPort]:
    """On all pods' cables, and nobody takes from it."""
    machine = network["n1"]
    host = Host(machine.call(local_addresses))
    with closing(machine.call(lambda: XdpPort(lambda link: link.kind == "veth", PODS))) as port:
        port.steer(table("b1", "b2"), host)
        machine.call(port.begin)
        yield port


def send(network: Network, count: int, one: Callable[[], object]) -> None:
    """Send so many from c1, no faster than n1 receives them."""
    before = received(network)
    for number in range(1, count + 1):
        one()
        if number % AT_ONCE == 0 or number == count:
            eventually(lambda number=number: received(network) >= before + number)


def received(network: Network) -> int:
    """How many packets n1 has seen of c1."""
    shown = network["n1"].run(["ip", "-json", "-statistics", "link", "show", pod_interface("c1")]).stdout
    return int(json.loads(shown)[0]["stats64"]["rx"]["packets"])


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_flood_of_syns_leaves_room_for_what_is_open(network: Network, port: XdpPort) -> None:
    def connect() -> None:
        with network["c1"].socket(socket.AF_INET, socket.SOCK_STREAM) as opening:
            opening.setblocking(False)
            assert opening.connect_ex(THERE) == errno.EINPROGRESS

    send(network, lib.XSK_OPENING + TOO_MANY, connect)
    eventually(lambda: port.ways()["crowded"] >= TOO_MANY)
    assert (port.counters.missed, port.ways()["crowded"]) == (TOO_MANY, TOO_MANY)
    with network["c1"].socket(socket.AF_INET, socket.SOCK_DGRAM) as others:
        send(network, lib.XSK_OPENING + TOO_MANY, lambda: others.sendto(b"", THERE))
    assert port.counters.missed == TOO_MANY
