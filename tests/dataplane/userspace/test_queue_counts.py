"""What never reached the reader of a packet queue is counted, though only the kernel knows it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from dataplane.errors import InputError
from dataplane.table import DetectLocal
from dataplane.userspace.engine import Engine
from dataplane.userspace.port import nfqueue_port
from dataplane.userspace.queue_reader import QueueReader, package
from lab.network.namespace import Namespace

pytestmark = pytest.mark.kernel

QUEUE, ROOM = 77, 8


@pytest.fixture
def machine() -> Iterator[Namespace]:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace of its own")
    machine = Namespace(f"queue-{os.getpid()}", "a").create()
    rule = ["iptables-nft", "-A", "OUTPUT", "-p", "udp", "--dport", "9"]
    try:
        machine.run([*rule, "-j", "NFQUEUE", "--queue-num", str(QUEUE)])
        yield machine
    finally:
        machine.delete()


def send(machine: Namespace, count: int) -> None:
    with machine.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        for _ in range(count):
            with suppress(PermissionError):  # how the kernel says that there was no room
                sending.sendto(b"hello", ("127.0.0.1", 9))


def test_what_a_full_queue_drops_is_counted(machine: Namespace) -> None:
    with closing(machine.call(lambda: nfqueue_port(QUEUE, ROOM, DetectLocal()))) as port:
        assert port.counters.missed == 0
        send(machine, 20)
        assert port.counters.missed == 20 - ROOM


def test_a_port_that_is_closed_has_missed_nothing(machine: Namespace) -> None:
    port = machine.call(lambda: nfqueue_port(QUEUE, ROOM, DetectLocal()))
    misses = port._misses  # type: ignore[attr-defined]
    port.close()
    assert misses.count() == 0


def test_a_reader_in_python_counts_what_became_of_packets(machine: Namespace) -> None:
    try:
        package()
    except InputError as error:
        pytest.skip(str(error))
    with Engine() as engine:
        engine.start()
        with closing(machine.call(lambda: QueueReader(engine, QUEUE, ROOM, DetectLocal()))) as reader:
            send(machine, 1)
            while not (counted := reader.counters).received:
                os.sched_yield()
        assert (counted.received, counted.passed, counted.missed) == (1, 1, 0)
        assert counted.bytes == 20 + 8 + len("hello")
