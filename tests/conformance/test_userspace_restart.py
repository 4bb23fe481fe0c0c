"""The process that translates packets is killed, and its successor goes on: connections notice only the pause."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import cycle, islice
from typing import cast

import pytest

from conformance.cases import Probe, load
from conformance.control_plane import ControlPlane
from conformance.packet_run import SMALL, HeldConnection, ask, forget_flows
from conformance.setting import ADDRESSES
from conformance.words import CLUSTER_IP, case, http, piece, service, step
from dataplane.table import ForwardingTable
from dataplane.userspace.dataplane import UserspaceDataplane
from lab.network.namespace import Namespace
from lab.network.network import Network

pytestmark = pytest.mark.kernel

N1, B1 = ADDRESSES["n1"][0], ADDRESSES["b1"][0]
WAYS = (("c1", CLUSTER_IP, 80), ("n1", CLUSTER_IP, 80), ("x1", N1, 30080))  #: client, address, port
MANY = 40  #: connections, of which one backend gets all once in 10^11
(CASE,) = load(
    [case("restart", step(service(http(30080)), piece("b1", "b3")), step(service(http(30080)), piece("b3")))]
)
ROUNDS = 3


class Process:
    """A process of its own on n1 that serves a table until it is killed."""

    def __init__(self, n1: Namespace, table: ForwardingTable) -> None:
        reading, writing = os.pipe()

        def begin() -> int:
            # In the child only this thread goes on, which is in n1.
            pid = os.fork()
            if not pid:
                try:
                    UserspaceDataplane(limits=SMALL).apply(table)
                    os.write(writing, b"!")
                    signal.pause()
                finally:
                    os._exit(1)
            return pid

        self.pid = n1.call(begin)
        os.close(writing)
        with open(reading, "rb") as ready:
            assert ready.read(1) == b"!"

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def n1(machines: Network) -> Iterator[Namespace]:
    n1 = machines["n1"]
    yield n1
    dataplane = cast(UserspaceDataplane, n1.call(UserspaceDataplane))
    n1.call(dataplane.cleanup)
    n1.call(forget_flows)
    dataplane.close()


def test_connections_outlive_the_process(machines: Network, n1: Namespace) -> None:
    table = ControlPlane(CASE).take(CASE.steps[0])
    process = Process(n1, table)
    try:
        with ExitStack() as held:
            connections = [held.enter_context(closing(HeldConnection(machines[c], a, p))) for c, a, p in WAYS * 4]
            answers = [connection.ask() for connection in connections]
            for _ in range(ROUNDS):
                process.kill()
                process = Process(n1, table)
                assert [connection.ask() for connection in connections] == answers
            for client, address, port in WAYS:
                assert set(ask(machines[client], Probe({}, client, address, port, count=MANY)).pods) == {"b1", "b3"}
    finally:
        process.kill()


def test_connections_to_what_is_in_no_table_any_more_outlive_it_too(machines: Network, n1: Namespace) -> None:
    control_plane = ControlPlane(CASE)
    before, after = (control_plane.take(step) for step in CASE.steps)
    process = Process(n1, before)
    try:
        with ExitStack() as held:
            connections = [
                held.enter_context(closing(HeldConnection(machines[c], a, p))) for c, a, p in islice(cycle(WAYS), MANY)
            ]
            answers = [connection.ask() for connection in connections]
            assert {pod for pod, _ in answers} == {"b1", "b3"}
            process.kill()
            process = Process(n1, after)
            assert [connection.ask() for connection in connections] == answers
    finally:
        process.kill()


def test_who_asks_a_backend_itself_needs_no_engine(machines: Network, n1: Namespace) -> None:
    """Also an agent that asks the API server what to do, which is a backend of the Service ``kubernetes``."""
    process = Process(n1, ControlPlane(CASE).take(CASE.steps[0]))
    before = HeldConnection(machines["c1"], B1, 8080)
    process.kill()
    try:
        assert before.ask() == ("b1", ADDRESSES["c1"][0])
        for client in ("n1", "c1", "x1"):
            with closing(HeldConnection(machines[client], B1, 8080)) as afterwards:
                assert afterwards.ask()[0] == "b1"
    finally:
        before.close()


def test_cleanup_leaves_nothing_behind(machines: Network, n1: Namespace) -> None:
    dataplane = n1.call(partial(UserspaceDataplane, limits=SMALL))
    n1.call(partial(dataplane.apply, ControlPlane(CASE).take(CASE.steps[0])))
    assert not n1.call(dataplane.audit)
    counted = [port.counters for port in dataplane.engine.ports]
    assert all(c.received == c.forwarded + c.passed + c.answered + c.dropped + c.lost for c in counted)
    n1.call(dataplane.cleanup)
    assert "svcplane" not in n1.run(["nft", "list", "tables"]).stdout
    dataplane.close()
