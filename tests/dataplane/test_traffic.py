"""Traffic by frontend and backend, from the kernel's own connection table."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataplane.conntrack_traffic import ConntrackTraffic
from dataplane.netlink.channel import Channel
from dataplane.table import (
    Backend,
    Endpoint,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
)
from dataplane.traffic import Path, Traffic

pytestmark = pytest.mark.kernel

VIP, NODE, CLIENT = "10.96.0.1", "192.0.2.1", "10.244.1.9"
PODS = ("10.244.1.1", "10.244.1.2")
EMPTY_DATAGRAM = 28  # bytes of an IPv4 and a UDP header

DNS = FrontendKey(VIP, Protocol.UDP, 53)
NODE_PORT = FrontendKey("0.0.0.0", Protocol.UDP, 30053)


def served(*keys: FrontendKey) -> ForwardingTable:
    verdict = Forward(Pool(tuple(Backend(pod, 5353, False) for pod in PODS)), False)
    frontends = {key: Frontend(key, "default/dns:dns", verdict, verdict, verdict) for key in keys}
    return ForwardingTable(frontends, node_addresses=frozenset({NODE}))


TABLE = served(DNS, NODE_PORT)
TRANSLATE = f"""
table ip test {{
    chain c {{
        type nat hook output priority -100
        ip daddr {VIP} udp sport 1002 dnat to {PODS[1]}:5353
        ip daddr {VIP} udp dport 53 dnat to {PODS[0]}:5353
        ip daddr {NODE} udp dport 30053 dnat to {PODS[0]}:5353
        ip daddr 203.0.113.1 udp dport 53 dnat to {PODS[0]}:5353
    }}
}}
"""


@pytest.fixture
def on_a_host(in_new_namespace: Callable[..., Any]) -> Callable[[Callable[[], None]], None]:
    """Call a test in a network namespace with every address on `lo`, that translates and counts."""

    def call(work: Callable[[], None]) -> None:
        def on_host() -> None:
            for command in ("link set lo up", "route add default dev lo"):
                subprocess.run(["ip", *command.split()], check=True)
            for address in (*PODS, CLIENT, NODE):
                subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
            subprocess.run(["nft", "-f", "-"], input=TRANSLATE, text=True, check=True)
            subprocess.run(["sysctl", "-qw", "net.netfilter.nf_conntrack_acct=1"], check=True)
            work()

        in_new_namespace(on_host)

    return call


@pytest.fixture
def counting() -> Callable[..., contextlib.AbstractContextManager[ConntrackTraffic]]:
    @contextlib.contextmanager
    def start(**limits: int) -> Iterator[ConntrackTraffic]:
        traffic = ConntrackTraffic(**limits)
        try:
            yield traffic
        finally:
            traffic.close()

    return start


class Flow(socket.socket):
    """A client's flow. It is not connected, so that it needs not hear of pods that do not answer."""

    def __init__(self, to: str = VIP, port: int = 53, source_port: int = 0) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.bind((CLIENT, source_port))
        self._to = (to, port)

    def say(self, data: bytes = b"") -> None:
        self.sendto(data, self._to)


def end_all() -> None:
    """Every flow is over now, as when it had timed out."""
    with Channel() as channel:
        channel.request(0x102, bytes([socket.AF_INET, 0, 0, 0]))


def test_packets_and_bytes_are_counted_by_backend_while_flows_go_on(on_a_host: Any, counting: Any) -> None:
    def work() -> None:
        with counting() as traffic, Flow(source_port=1001) as first, Flow(source_port=1002) as second:
            first.say(b"12345")
            first.say()
            second.say()
            by_path = traffic.take(TABLE).by_path
            assert by_path == {
                Path(DNS, Endpoint(PODS[0], 5353)): Traffic(1, 2, 2 * EMPTY_DATAGRAM + 5),
                Path(DNS, Endpoint(PODS[1], 5353)): Traffic(1, 1, EMPTY_DATAGRAM),
            }
            first.say()
            assert traffic.take(TABLE).by_path == {Path(DNS, Endpoint(PODS[0], 5353)): Traffic(0, 1, EMPTY_DATAGRAM)}
            assert traffic.take(TABLE).by_path == {}

    on_a_host(work)


def test_answers_are_counted_apart(on_a_host: Any, counting: Any) -> None:
    def work() -> None:
        with counting() as traffic, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as pod, Flow() as client:
            pod.bind((PODS[0], 5353))
            client.say(b"?")
            pod.sendto(b"answer", pod.recvfrom(16)[1])
            assert client.recv(16) == b"answer"
            (counted,) = traffic.take(TABLE).by_path.values()
            assert counted == Traffic(1, 1, EMPTY_DATAGRAM + 1, 1, EMPTY_DATAGRAM + 6)

    on_a_host(work)


def test_flows_that_live_and_die_between_two_looks_are_counted(on_a_host: Any, counting: Any) -> None:
    def work() -> None:
        with counting() as traffic:
            # Ports of the kernel's choice would sometimes be the same twice, and then the flow before goes on.
            for port in range(2001, 2051):
                with Flow(source_port=port) as client:
                    client.say()
            end_all()
            assert traffic.take(TABLE).by_path == {
                Path(DNS, Endpoint(PODS[0], 5353)): Traffic(50, 50, 50 * EMPTY_DATAGRAM)
            }

    on_a_host(work)


def test_of_flows_that_were_there_before_only_what_comes_is_counted(on_a_host: Any, counting: Any) -> None:
    def work() -> None:
        with Flow() as client:
            client.say()
            with counting() as traffic:
                client.say()
                (counted,) = traffic.take(TABLE).by_path.values()
                assert counted == Traffic(0, 1, EMPTY_DATAGRAM)
                # The kernel need not tell of the end of a flow that began when nobody listened.
                end_all()
                assert traffic.take(TABLE).by_path == {}

    on_a_host(work)


def test_a_node_port_is_told_by_the_nodes_addresses_and_others_traffic_is_left_out(
    on_a_host: Any, counting: Any
) -> None:
    def work() -> None:
        with counting() as traffic, Flow(NODE, 30053) as client, Flow("203.0.113.1") as stranger:
            client.say()
            stranger.say()
            assert set(traffic.take(TABLE).by_path) == {Path(NODE_PORT, Endpoint(PODS[0], 5353))}

    on_a_host(work)


def test_where_there_is_no_room_sums_stay_right(on_a_host: Any, counting: Any) -> None:
    def work() -> None:
        with counting(flows=8, ways=1) as traffic:
            for source_port in (1001, 1002, *range(1003, 1100)):
                with Flow(source_port=source_port) as client:
                    client.say()
            first = traffic.take(TABLE)
            end_all()
            last = traffic.take(TABLE)
            counted = [*first.by_path.values(), first.unplaced, *last.by_path.values(), last.unplaced]
            assert sum(c.connections for c in counted) == 99
            assert sum(c.packets_in for c in counted) == 99

    on_a_host(work)


def test_without_the_kernels_counting_connections_are_still_known(on_a_host: Any, counting: Any) -> None:
    def work() -> None:
        subprocess.run(["sysctl", "-qw", "net.netfilter.nf_conntrack_acct=0"], check=True)
        with counting() as traffic, Flow() as client:
            client.say()
            assert list(traffic.take(TABLE).by_path.values()) == [Traffic(1)]

    on_a_host(work)
