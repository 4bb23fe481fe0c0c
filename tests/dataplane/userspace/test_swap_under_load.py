"""A large table is loaded and put in force while packets are on their way: none of them notices."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest

from dataplane.reference import Outcome, Packet
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
from dataplane.userspace.engine import Engine
from dataplane.userspace.image import Host
from dataplane.userspace.limits import Limits
from dataplane.userspace.port import memory_port
from native.checksum import delta, update
from wire import written

SERVICES = 10_000
FLOWS = 32
LIMITS = Limits(flows=1 << 16)


def table(services: range, backend_port: int) -> ForwardingTable:
    """Services with two backends each; every Service's backends are its own."""
    frontends = {}
    for number in services:
        high, low = divmod(number, 256)
        pool = Pool(tuple(Backend(f"10.{200 + i}.{high}.{low}", backend_port, False) for i in range(2)))
        forward = Forward(pool, masquerade=False)
        key = FrontendKey(f"10.96.{high}.{low}", Protocol.TCP, 80)
        frontends[key] = Frontend(key, f"default/s{number}:http", forward, forward, forward)
    addresses = frozenset(key.address for key in frontends)
    return ForwardingTable(
        frontends, addresses, frozenset({"10.96.0.0/12"}), frozenset(), DetectLocal(("10.0.0.0/10",))
    )


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(Host(), limits=LIMITS, seed=1) as engine:
        engine.apply(table(range(FLOWS), 8080))
        yield engine


SOURCE_PORT, CHECKSUM = slice(20, 22), slice(36, 38)
ANYBODY = {
    (flow, signals): written(Packet(Endpoint("10.0.0.1", 0), Endpoint(f"10.96.0.{flow}", 80), Protocol.TCP), signals)
    for flow in range(FLOWS)
    for signals in "SA"
}


def packet(flow: int, signals: str, port: int) -> bytes:
    """Written and read without Scapy, which would take more processor time than all the rest."""
    data, source = bytearray(ANYBODY[flow, signals]), port.to_bytes(2, "big")
    checksum = update(int.from_bytes(data[CHECKSUM], "big"), delta(bytes(2), source))
    data[SOURCE_PORT], data[CHECKSUM] = source, checksum.to_bytes(2, "big")
    return bytes(data)


def destination(data: bytes) -> tuple[str, int]:
    return ".".join(map(str, data[16:20])), int.from_bytes(data[22:24], "big")


class Wire:
    """A port that is a socket pair, and its far end."""

    def __init__(self) -> None:
        self.port, self.far = memory_port()
        self.far.settimeout(60)
        self.sent = 0

    def burst(self, signals: str, port: int) -> list[tuple[str, int]]:
        """One packet of each flow; tells where they went. A packet that is lost is a timeout."""
        for flow in range(FLOWS):
            self.far.send(packet(flow, signals, port))
        self.sent += FLOWS
        return [destination(self.far.recv(65600)) for _ in range(FLOWS)]


def test_no_packet_is_lost_or_misled_while_ten_thousand_services_come_and_go(engine: Engine) -> None:
    tables = [table(range(SERVICES), 8081), table(range(FLOWS), 8082)]
    wire = Wire()
    engine.start([wire.port])
    try:
        opened = wire.burst("S", 40000)
        with ThreadPoolExecutor(1) as beside:
            applied = beside.submit(lambda: [engine.apply(one) for one in tables])
            for port in cycle(range(40001, 40501)):
                if port > 40010 and applied.done():
                    break
                # TCP is left alone, wherever its Service sends new flows meanwhile.
                assert wire.burst("A", 40000) == opened
                for flow, (address, backend_port) in enumerate(wire.burst("S", port)):
                    assert address in (f"10.200.0.{flow}", f"10.201.0.{flow}")
                    assert backend_port in (8080, 8081, 8082)
            applied.result()
        assert {backend_port for _, backend_port in wire.burst("S", 39999)} == {8082}
        counters = engine.counters
        assert counters.packets == counters.outcomes[Outcome.FORWARD] == wire.sent
        assert not any(counters.reasons.values())
    finally:
        engine.stop()
        wire.far.close()
