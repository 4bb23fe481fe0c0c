"""A worker's threads carry packets between ports and the engine, and do between two batches what others ask."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from dataplane.reference import Packet
from dataplane.table import Endpoint, Protocol
from dataplane.userspace.batch import Link
from native.library import ffi, lib
from patience import PATIENCE
from small_node import NAMES, Node
from wire import read, with_right_checksums, written

V4 = next(iter(NAMES.values()))


class Wire:
    """The far end of a port that is a socket pair: no rights are needed."""

    def __init__(self, pair: tuple[socket.socket, socket.socket] | None = None) -> None:
        self.far, near = pair or socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setblocking(False)
        self.far.settimeout(PATIENCE)
        self.port = lib.descriptor_create(near.detach(), Link.IP, lib.PORT_OUTSIDE)

    def ask(self, packet: bytes) -> bytes:
        self.far.send(packet)
        return self.far.recv(65600)


def roomy_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends in which hundreds of packets may wait; in a socket pair it is ten."""
    pair = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for end in pair:
        end.bind(("127.0.0.1", 0))
    for end, other in (pair, pair[::-1]):
        end.connect(other.getsockname())
    return pair


class Carried:
    def __init__(self, node: Node, *threads: Sequence[Wire]) -> None:
        self.wires = [wire for wires in threads for wire in wires]
        self.worker: Any = lib.worker_create(node.engine._engine)
        for wires in threads:
            assert lib.worker_add(self.worker, [wire.port for wire in wires], len(wires)) == 0
        assert lib.worker_start(self.worker) == 0

    def close(self) -> None:
        lib.worker_destroy(self.worker)
        for wire in self.wires:
            lib.port_destroy(wire.port)
            wire.far.close()


@pytest.fixture
def carried(node: Node) -> Iterator[Carried]:
    carried = Carried(node, [Wire()], [Wire()])
    yield carried
    carried.close()


def first(port: int) -> bytes:
    return written(Packet(Endpoint(V4.pod, port), Endpoint(V4.service, 80), Protocol.TCP))


def test_a_packet_comes_back_translated(carried: Carried) -> None:
    answer = carried.wires[0].ask(first(40000))
    assert read(answer).dst in (V4.here, V4.elsewhere)
    assert answer == with_right_checksums(answer)


def test_a_flow_is_known_whichever_port_its_packets_come_in_by(carried: Carried) -> None:
    forward = read(carried.wires[0].ask(first(40000)))
    reply = Packet(Endpoint(forward.dst, 8080), Endpoint(V4.pod, 40000), Protocol.TCP)
    back = read(carried.wires[1].ask(written(reply, "SA")))
    assert (back.src, back.sport) == (V4.service, 80)


def test_a_refused_packet_comes_back_as_its_answer(carried: Carried) -> None:
    answer = read(carried.wires[0].ask(written(Packet(Endpoint(V4.pod, 4), Endpoint(V4.service, 81), Protocol.TCP))))
    assert (answer.proto, answer.dst) == (1, V4.pod)


def test_whatever_is_asked_is_done_between_batches_and_to_its_end(carried: Carried) -> None:
    steps = []

    @ffi.callback("worker_task")  # type: ignore[untyped-decorator]
    def task(engine: Any, argument: Any) -> bool:
        steps.append(engine.counters.packets)
        return len(steps) == 3

    lib.worker_ask(carried.worker, task, ffi.NULL)
    assert len(steps) == 3


def test_a_task_is_done_although_every_thread_has_ended(carried: Carried) -> None:
    for wire in carried.wires:
        wire.far.close()
    done = []

    @ffi.callback("worker_task")  # type: ignore[untyped-decorator]
    def task(engine: Any, argument: Any) -> bool:
        done.append(True)
        return True

    for _ in range(100):
        lib.worker_ask(carried.worker, task, ffi.NULL)
    assert len(done) == 100
    lib.worker_stop(carried.worker)
    assert lib.worker_error(carried.worker) != 0


def test_every_packet_that_came_in_is_accounted_for(carried: Carried) -> None:
    for port in range(40000, 40050):
        carried.wires[0].ask(first(port))
    lib.worker_stop(carried.worker)
    counted = carried.wires[0].port.counters
    assert counted.received == 50
    assert counted.received == (counted.forwarded + counted.passed + counted.answered + counted.dropped + counted.lost)


def test_ports_of_one_thread_take_turns_however_much_one_has_waiting(node: Node) -> None:
    crowded, quiet = Wire(roomy_pair()), Wire()
    flood = [first(port) for port in range(40000, 40000 + 2 * lib.PORT_BATCH)]
    for packet in flood:
        crowded.far.send(packet)
    quiet.far.send(first(50000))
    carried = Carried(node, [crowded, quiet])
    quiet.far.recv(65600)
    for _ in flood:
        crowded.far.recv(65600)
    carried.close()
    # Entries lie in the order in which flows began.
    came = [flow.client.port for flow in node.engine.flows()]
    assert came.index(50000) == lib.PORT_BATCH, "it waited for one batch of the other port"
