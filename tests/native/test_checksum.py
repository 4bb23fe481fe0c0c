"""The Internet checksum: whole, by its changes, and the traps of 0x0000 and 0xffff."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.utils import checksum as scapy_checksum

from native.checksum import checksum, delta, join, update, update_udp

words = st.integers(0, 0xFFFF)
word_bytes = st.binary(min_size=2, max_size=2)
ports = st.integers(1, 0xFFFF)
ipv4_addresses = st.ip_addresses(v=4)
ipv6_addresses = st.ip_addresses(v=6)
payloads = st.binary(max_size=40)


def test_the_example_of_rfc_1071_comes_out() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


def test_the_example_of_rfc_1624_comes_out_as_zero() -> None:
    assert update(0xDD2F, delta(bytes.fromhex("5555"), bytes.fromhex("3285"))) == 0x0000


def test_nothing_at_all_has_the_checksum_of_zero() -> None:
    assert checksum(b"") == 0xFFFF


@given(st.binary(max_size=200))
def test_the_checksum_is_the_one_that_scapy_computes(data: bytes) -> None:
    assert checksum(data) == scapy_checksum(data)


@given(st.binary(max_size=200).filter(lambda data: len(data) % 2 == 0))
def test_data_with_its_own_checksum_sums_to_zero(data: bytes) -> None:
    assert checksum(data + checksum(data).to_bytes(2, "big")) == 0


@st.composite
def changes(draw: st.DrawFn) -> tuple[bytes, bytes, bytes, bytes]:
    """What stands before and after the change, and the change."""
    size = draw(st.sampled_from([2, 4, 16]))
    head = draw(st.binary(max_size=20).filter(lambda data: len(data) % 2 == 0))
    return (
        head,
        draw(st.binary(max_size=20)),
        draw(st.binary(min_size=size, max_size=size)),
        draw(st.binary(min_size=size, max_size=size)),
    )


@given(changes())
@example((b"\x00\x01", b"", b"\x00\x00", b"\xff\xff"))
@example((b"\x00\x01", b"", b"\xff\xff", b"\x00\x00"))
@example((b"\xff\xff", b"", b"\xff\xff", b"\xff\xff"))
def test_following_a_change_gives_what_starting_over_gives(change: tuple[bytes, bytes, bytes, bytes]) -> None:
    head, tail, before, after = change
    assume(any(head + after + tail))  # all zero is the next test
    assert update(checksum(head + before + tail), delta(before, after)) == checksum(head + after + tail)


def test_data_that_becomes_all_zero_is_the_one_exception_and_still_valid() -> None:
    """No packet is: the version in an IP header and the protocol in a pseudo-header are never zero."""
    followed = update(checksum(b"\x12\x34"), delta(b"\x12\x34", b"\x00\x00"))
    assert (followed, checksum(b"\x00\x00")) == (0x0000, 0xFFFF)
    assert checksum(b"\x00\x00" + b"\xff\xff") == 0


@given(words, word_bytes, word_bytes, word_bytes, word_bytes)
def test_two_changes_at_once_are_one_after_the_other(start: int, a: bytes, b: bytes, c: bytes, d: bytes) -> None:
    first, second = delta(a, b), delta(c, d)
    together, in_turn = update(start, join(first, second)), update(update(start, first), second)
    assert together % 0xFFFF == in_turn % 0xFFFF


@given(words, word_bytes, word_bytes)
def test_a_wrong_checksum_stays_wrong_by_as_much(start: int, before: bytes, after: bytes) -> None:
    right = update(checksum(b"\x45" + b"\x00" + before), delta(before, after))
    wrong = update((checksum(b"\x45" + b"\x00" + before) + start) % 0xFFFF, delta(before, after))
    assert (wrong - right) % 0xFFFF == start % 0xFFFF


@given(word_bytes, word_bytes)
def test_udp_without_a_checksum_stays_without(before: bytes, after: bytes) -> None:
    assert update_udp(0, delta(before, after)) == 0


@given(st.integers(1, 0xFFFF), word_bytes, word_bytes)
def test_udp_with_a_checksum_never_loses_it(start: int, before: bytes, after: bytes) -> None:
    assert update_udp(start, delta(before, after)) != 0


@given(ipv4_addresses, ipv4_addresses, ipv4_addresses, ports, ports, ports, payloads)
def test_translating_an_ipv4_packet_agrees_with_scapy(
    source: object, service: object, backend: object, client_port: int, port: int, backend_port: int, payload: bytes
) -> None:
    for transport in (TCP, UDP):
        before = bytes(IP(src=str(source), dst=str(service)) / transport(sport=client_port, dport=port) / payload)
        after = bytes(
            IP(src=str(source), dst=str(backend)) / transport(sport=client_port, dport=backend_port) / payload
        )
        at = 36 if transport is TCP else 26
        address = delta(before[16:20], after[16:20])
        both = join(address, delta(before[22:24], after[22:24]))
        follow = update if transport is TCP else update_udp
        assert update(_word(before, 10), address) == _word(after, 10)
        assert follow(_word(before, at), both) == _word(after, at)


@given(ipv6_addresses, ipv6_addresses, ipv6_addresses, ports, ports, ports, payloads)
def test_translating_an_ipv6_packet_agrees_with_scapy(
    source: object, service: object, backend: object, client_port: int, port: int, backend_port: int, payload: bytes
) -> None:
    for transport in (TCP, UDP):
        before = bytes(IPv6(src=str(source), dst=str(service)) / transport(sport=client_port, dport=port) / payload)
        after = bytes(
            IPv6(src=str(source), dst=str(backend)) / transport(sport=client_port, dport=backend_port) / payload
        )
        at = 56 if transport is TCP else 46
        both = join(delta(before[24:40], after[24:40]), delta(before[42:44], after[42:44]))
        follow = update if transport is TCP else update_udp
        assert follow(_word(before, at), both) == _word(after, at)


@pytest.mark.parametrize(
    ("before", "after"), [(b"12", b"1234"), (b"", b""), (b"123", b"123"), (b"12345678", b"12345678")]
)
def test_a_delta_of_anything_but_a_port_or_an_address_is_refused(before: bytes, after: bytes) -> None:
    with pytest.raises(ValueError, match="expected twice 2, 4 or 16 bytes"):
        delta(before, after)


def _word(packet: bytes, at: int) -> int:
    return int.from_bytes(packet[at : at + 2], "big")
