"""Addresses and networks have one text each."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.addresses import canonical_address, canonical_network, contains, is_loopback


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.96.0.10", "10.96.0.10"),
        ("172.30.0.041", "172.30.0.41"),
        ("010.000.00.08", "10.0.0.8"),
        ("FD00:0:0::1", "fd00::1"),
        ("fd00:0010:0096:0:0:0:0:a", "fd00:10:96::a"),
        ("::", "::"),
    ],
)
def test_an_address_is_written_in_one_way(text: str, canonical: str) -> None:
    assert canonical_address(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["", " ", "web", "10.96.0", "10.96.0.10.1", "10.96.0.256", "10.96.0.-1", "10.96.0.0x1", "10.96.0.1/32", "fd00::g",
     "fe80::1%eth0", "1.2.3.٤", "10.96.0.1 ", "1.2.3.4\0"],
)  # fmt: skip
def test_what_is_no_address_has_no_form(text: str) -> None:
    assert canonical_address(text) is None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.96.0.0/12", "10.96.0.0/12"),
        ("10.96.1.2/12", "10.96.0.0/12"),
        ("010.096.0.0/012", "10.96.0.0/12"),
        ("1.2.3.4/0", "0.0.0.0/0"),
        ("FD00:10:96:0::1/112", "fd00:10:96::/112"),
    ],
)
def test_a_network_is_written_in_one_way_without_host_bits(text: str, canonical: str) -> None:
    assert canonical_network(text) == canonical


@pytest.mark.parametrize(
    "text", ["", "/8", "10.96.0.0", "10.96.0.0/", "10.96.0.0/33", "fd00::/129", "10.96.0.0/-1", "10.0.0.0/255.0.0.0"]
)
def test_what_is_no_network_has_no_form(text: str) -> None:
    assert canonical_network(text) is None


def test_a_network_holds_addresses_of_its_own_family_only() -> None:
    everything = ("0.0.0.0/0",)
    assert contains(everything, "192.0.2.1")
    assert not contains(everything, "fd00::1")
    assert not contains((), "192.0.2.1")


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("128.0.0.1", False), ("::2", False)],
)
def test_loopback_addresses_are_known(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@given(st.ip_addresses())
def test_canonical_addresses_stay_as_they_are(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    once = canonical_address(address.exploded)
    assert once is not None
    assert canonical_address(once) == once
    assert ipaddress.ip_address(once) == address


@given(st.ip_addresses(v=4), st.integers(0, 3))
def test_leading_zeros_change_nothing(address: ipaddress.IPv4Address, zeros: int) -> None:
    padded = ".".join("0" * zeros + octet for octet in str(address).split("."))
    assert canonical_address(padded) == str(address)


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_a_network_holds_the_address_that_it_was_made_of(address: ipaddress.IPv4Address, length: int) -> None:
    network = canonical_network(f"{address}/{length}")
    assert network is not None
    assert contains((network,), str(address))
