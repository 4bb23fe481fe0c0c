"""Chains are called as kube-proxy calls them, so that what people know of its rules is true of ours."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dataplane.iptables.names import CLUSTER, ENDPOINT, PREFIXES, ChainNames, chain_hash
from dataplane.iptables.rules import by_chance
from dataplane.table import Protocol


def test_a_service_port_s_hash_is_kube_proxy_s() -> None:
    assert chain_hash("ns4/svc4:p80", Protocol.TCP) == "4SW47YFZTEDKD3PK"
    assert chain_hash("ns1/svc1:p80", Protocol.TCP) == "XPGD46QRK7WJZT7O"


def test_an_endpoint_s_hash_is_kube_proxy_s() -> None:
    assert chain_hash("ns1/svc1:p80", Protocol.TCP, "10.180.0.1:80") == "SXIVWICOYRO3J4NJ"


def test_names_fit_into_what_iptables_allows() -> None:
    assert max(len(prefix + chain_hash("a/b", Protocol.UDP)) for prefix in PREFIXES) <= 28


def test_the_same_thing_always_gets_the_same_name() -> None:
    names = ChainNames("a/b:c", Protocol.TCP)
    first, second = names.name(CLUSTER, "one"), names.name(CLUSTER, "two")
    assert first != second
    assert (names.name(CLUSTER, "one"), names.name(CLUSTER, "two")) == (first, second)


def test_the_first_thing_gets_the_name_that_kube_proxy_would_give() -> None:
    assert ChainNames("ns1/svc1:p80", Protocol.TCP).name(ENDPOINT, 1, "10.180.0.1:80") == "KUBE-SEP-SXIVWICOYRO3J4NJ"


@pytest.mark.parametrize(
    ("share", "of", "text"),
    [
        (1, 1, "1.0000000000"),
        (1, 2, "0.5000000000"),
        (1, 3, "0.3333333333"),
        (1, 10, "0.1000000000"),
        (9, 10, "0.9000000000"),
        (1, 100000, "0.0000100000"),
    ],
)
def test_probabilities_have_ten_decimals(share: int, of: int, text: str) -> None:
    assert by_chance(share, of).split()[-1] == text


def test_probabilities_get_smaller_and_smaller() -> None:
    found = [float(by_chance(1, count).split()[-1]) for count in range(1, 100_002)]
    assert all(a > b for a, b in pairwise(found))
