"""What an AF_XDP port finds on a host, and what it leaves there."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator

import pytest

from dataplane.errors import InputError
from dataplane.table import Family
from dataplane.userspace.xdp.port import XdpLimits
from lab.network.network import Network
from lab.network.probe import Probe, run_probe
from xdp_node import ADDRESSES, Node, pods

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with pods(f"xdp-host-{os.getpid()}", tmp_path_factory.mktemp("pods")) as made:
        yield made


def test_interfaces_are_as_before_when_the_port_is_closed(network: Network) -> None:
    node = Node(network["n1"])
    assert "prog/xdp" in network["n1"].run(["ip", "link"]).stdout
    node.close()
    left = network["n1"].run(["ip", "link"]).stdout
    assert "prog/xdp" not in left
    assert "svcplane-xdp" not in left
    # Nobody answers at the Service's address now, and pods reach one another as ever.
    assert run_probe(network["c1"], Probe(ADDRESSES[Family.IPV4]["b1"], 8080, count=4)).errors == ()


def test_a_second_port_on_one_host_is_refused(network: Network) -> None:
    first = Node(network["n1"])
    try:
        with pytest.raises(InputError, match=r"AF_XDP: cannot make the tun device svcplane-xdp: .*another svcplane"):
            Node(network["n1"])
    finally:
        first.close()


def test_an_interface_that_was_named_is_missed_until_it_is_up(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    def eventually(told: list[str]) -> None:
        end = time.monotonic() + 60
        while caplog.messages != told and time.monotonic() < end:
            time.sleep(0.02)
        assert caplog.messages == told

    caplog.set_level(logging.INFO, "dataplane.userspace.xdp.port")
    machine = network["n1"]
    node = Node(machine, names=frozenset({"pod-c1", "pod-late"}))
    missed = "AF_XDP: interface pod-late (--xdp-interfaces) is not there, or down: it is used once it is up"
    try:
        eventually([missed])
        machine.run(["ip", "link", "add", "pod-late", "type", "veth", "peer", "name", "far"])
        machine.run(["ip", "link", "set", "pod-late", "up"])
        eventually([missed, "AF_XDP: interface pod-late is there now"])
        machine.run(["ip", "link", "delete", "pod-late"])
        eventually([missed, "AF_XDP: interface pod-late is there now", missed])
    finally:
        node.close()


def test_too_many_frames_are_one_clear_line(network: Network) -> None:
    with pytest.raises(InputError, match="AF_XDP: Invalid argument"):
        Node(network["n1"], limits=XdpLimits(frames=8))
