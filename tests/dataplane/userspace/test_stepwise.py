"""Ports in Python, one before another: captures, sockets, a tap device, and lines that are not perfect."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import InputError
from dataplane.reference import Outcome, Packet
from dataplane.table import Endpoint, Protocol
from dataplane.userspace.batch import Link
from dataplane.userspace.pcap import Capture, Captured
from dataplane.userspace.stepwise.capture import CapturePort, RecordedPort
from dataplane.userspace.stepwise.carry import carry
from dataplane.userspace.stepwise.descriptor import memory_step_port, tap_port
from dataplane.userspace.stepwise.faults import REORDERED_FOR, Faults, FaultyPort
from dataplane.userspace.stepwise.interface import StepPort
from lab.network.namespace import Namespace
from small_node import NAMES, Node
from wire import with_right_checksums, written

V4 = next(iter(NAMES.values()))
BEGIN = 1_700_000_000_000_000_000
MILLISECOND = 1_000_000


def capture(packets: Sequence[bytes], every: int = MILLISECOND) -> Capture:
    return Capture(Link.IP, tuple(Captured(BEGIN + number * every, data) for number, data in enumerate(packets)))


def numbered(count: int) -> list[bytes]:
    return [number.to_bytes(4) for number in range(count)]


def received(port: StepPort) -> list[tuple[float, bytes]]:
    """All that ever comes in, and when."""
    found, now = [], 0.0
    while (due := port.due(now)) is not None:
        now = due
        found += [(now, packet) for packet in port.receive(now)]
    return found


def through(faults: Faults, count: int = 1000, seed: int = 1) -> list[bytes]:
    return [packet for _, packet in received(FaultyPort(CapturePort(capture(numbered(count))), faults, seed))]


def test_packets_of_a_capture_come_in_at_their_times() -> None:
    assert received(CapturePort(capture(numbered(3)))) == [
        (0.0, b"\0\0\0\0"),
        (0.001, b"\0\0\0\1"),
        (0.002, b"\0\0\0\2"),
    ]


def test_times_that_go_back_are_no_time() -> None:
    packets = (Captured(BEGIN + MILLISECOND, b"late"), Captured(BEGIN, b"early"))
    assert received(CapturePort(Capture(Link.IP, packets))) == [(0.0, b"late"), (0.0, b"early")]


def test_an_empty_capture_is_never_due() -> None:
    assert CapturePort(capture([])).due(0.0) is None


def test_what_is_sent_to_a_capture_is_its_own_capture() -> None:
    port = CapturePort(capture(numbered(1)))
    port.send(b"answer", 0.25)
    assert port.sent.packets == (Captured(BEGIN + 250 * MILLISECOND, b"answer"),)


def test_a_record_has_both_directions() -> None:
    port = RecordedPort(CapturePort(capture(numbered(1))), BEGIN)
    port.receive(0.0)
    port.send(b"answer", 1.0)
    assert [p.data for p in port.record.packets] == [b"\0\0\0\0", b"answer"]
    assert port.record.packets[1].nanoseconds == BEGIN + 1000 * MILLISECOND


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=20), st.integers())
def test_without_faults_a_line_is_none(packets: list[bytes], seed: int) -> None:
    plain, faulty = CapturePort(capture(packets)), FaultyPort(CapturePort(capture(packets)), Faults(), seed)
    assert received(faulty) == received(plain)


def any_faults(most: float = 1.0) -> st.SearchStrategy[Faults]:
    chance = st.floats(0, most)
    return st.builds(Faults, chance, chance, chance, chance, delay=st.floats(0, 0.01))


@given(any_faults(), st.integers())
def test_a_seed_repeats_everything(faults: Faults, seed: int) -> None:
    assert through(faults, 20, seed) == through(faults, 20, seed)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.01))
def test_nothing_is_lost_that_was_not_dropped(duplicate: float, reorder: float, delay: float) -> None:
    faults = Faults(duplicate=duplicate, reorder=reorder, delay=delay)
    assert set(through(faults, 50)) == set(numbered(50))


@given(st.floats(0, 1), st.floats(0, 1), any_faults())
def test_what_is_lost_at_one_rate_is_lost_at_a_higher_one(one: float, other: float, others: Faults) -> None:
    few, many = sorted((one, other))
    assert set(through(Faults(drop=many), 50)) <= set(through(Faults(drop=few), 50))


def test_as_many_are_dropped_as_are_to_be() -> None:
    assert 650 < len(through(Faults(drop=0.3))) < 750


def test_as_many_are_doubled_as_are_to_be() -> None:
    assert 250 < sum(count == 2 for count in Counter(through(Faults(duplicate=0.3))).values()) < 350


def test_a_corrupt_packet_has_one_bit_the_other_way() -> None:
    sent = numbered(100)
    for before, after in zip(sent, through(Faults(corrupt=1), 100), strict=True):
        assert (int.from_bytes(before) ^ int.from_bytes(after)).bit_count() == 1


def test_a_packet_out_of_order_comes_after_the_next() -> None:
    found = through(Faults(reorder=0.3))
    assert found != numbered(1000)
    assert all(abs(place - int.from_bytes(packet)) <= 1 for place, packet in enumerate(found))


def test_nobody_waits_for_ever_to_be_overtaken() -> None:
    port = FaultyPort(CapturePort(capture(numbered(1))), Faults(reorder=1), 1)
    assert received(port) == [(REORDERED_FOR, b"\0\0\0\0")]


def test_a_delay_is_as_long_as_it_may_be() -> None:
    port = FaultyPort(CapturePort(capture(numbered(200), every=0)), Faults(delay=0.5), 1)
    times = [now for now, _ in received(port)]
    assert times == sorted(times)
    assert 0 < times[0] < 0.1
    assert 0.4 < times[-1] <= 0.5


def test_both_directions_have_faults() -> None:
    inner = CapturePort(capture(numbered(1)))
    port = FaultyPort(inner, Faults(delay=1.0), 1)
    port.send(b"answer", 0.0)
    assert inner.sent.packets == ()
    now = 0.0
    while (due := port.due(now)) is not None:
        now = due
        port.receive(now)
    assert [packet.data for packet in inner.sent.packets] == [b"answer"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"drop": 1.5}, "drop 1.5: expected a probability from 0 to 1"),
        ({"corrupt": float("nan")}, "corrupt nan: expected a probability from 0 to 1"),
        ({"delay": -1}, "delay -1: expected seconds, up to an hour"),
    ],
)
def test_faults_that_are_none_are_refused(given: dict[str, float], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Faults(**given)


def first(port: int) -> bytes:
    return written(Packet(Endpoint(V4.pod, port), Endpoint(V4.service, 80), Protocol.TCP))


def from_pod(_: bytes) -> str:
    return "veth0"


def test_an_engine_answers_at_the_other_end_of_a_socket(node: Node) -> None:
    port, far = memory_step_port()
    with closing(port), far:
        far.send(first(40000))
        (carried,) = carry(node.engine, port, from_pod, node.now)
        assert carried.result.outcome is Outcome.FORWARD
        assert far.recv(2000) == carried.result.data
        far.close()
        assert list(carry(node.engine, port, from_pod, node.now)) == []


def test_damage_is_not_mended_on_the_way(node: Node) -> None:
    """Whatever bit is wrong, a checksum still says so when the packet is translated, and its receiver drops it."""
    port = FaultyPort(CapturePort(capture([first(40000 + n) for n in range(100)])), Faults(corrupt=1), seed=1)
    told = list(carry(node.engine, port, from_pod))
    forwarded = [carried.result.data for carried in told if carried.result.outcome is Outcome.FORWARD]
    assert len(told) == 100
    assert len(forwarded) > 20
    for data in forwarded:
        assert with_right_checksums(data) != data


def test_a_duplicate_goes_where_its_original_went(node: Node) -> None:
    port = FaultyPort(CapturePort(capture([first(40000 + n) for n in range(50)])), Faults(duplicate=1), seed=1)
    there: dict[bytes, set[bytes]] = {}
    for carried in carry(node.engine, port, from_pod):
        assert carried.packet is not None
        there.setdefault(carried.packet, set()).add(carried.result.data)
    assert len(there) == 50
    assert all(len(where) == 1 for where in there.values())


@pytest.fixture
def machine() -> Iterator[Namespace]:
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        pytest.skip("needs root and /dev/net/tun, for an interface in a namespace of its own")
    machine = Namespace(f"stepwise-{os.getpid()}", "a").create()
    try:
        yield machine
    finally:
        machine.delete()


@pytest.mark.kernel
@pytest.mark.parametrize("link", Link, ids=lambda link: link.name)
def test_what_the_kernel_sends_by_a_tap_device_is_received(machine: Namespace, link: Link) -> None:
    port = machine.call(lambda: tap_port("tap0", link))
    with closing(port):
        machine.run(["ip", "address", "add", "192.0.2.1/24", "dev", "tap0"])
        machine.run(["ip", "link", "set", "tap0", "up"])
        if link is Link.ETHERNET:
            machine.run(["ip", "neigh", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:02", "dev", "tap0"])
        machine.run(["bash", "-c", "echo -n hello >/dev/udp/192.0.2.2/4000"])
        packets = wait_for(port, lambda packet: packet.endswith(b"hello"))
        assert packets


@pytest.mark.kernel
def test_two_tap_devices_of_one_name_are_refused_in_a_line(machine: Namespace) -> None:
    with (
        closing(machine.call(lambda: tap_port("tap0"))),
        pytest.raises(InputError, match=r"the interface tap0: .*busy"),
    ):
        machine.call(lambda: tap_port("tap0"))


def wait_for(port: StepPort, wanted: Callable[[bytes], bool]) -> list[bytes]:
    found: list[bytes] = []
    for _ in range(10_000):
        found += [packet for packet in port.receive(0.0) if wanted(packet)]
        if found:
            break
        os.sched_yield()
    return found
