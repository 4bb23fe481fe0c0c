"""The words of the model."""

from __future__ import annotations

import pytest

from dataplane.table import (
    Backend,
    Client,
    DetectLocal,
    Drop,
    Endpoint,
    Family,
    Forward,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
    Reject,
)

KEY = FrontendKey("10.96.0.10", Protocol.TCP, 80)
HERE = Pool((Backend("10.244.1.21", 8080, True),))
ANYWHERE = Pool((Backend("10.244.1.21", 8080, True), Backend("10.244.2.23", 8080, False)))


def test_the_family_shows_in_an_address_and_in_a_network() -> None:
    assert [Family.of(text) for text in ("10.96.0.10", "10.96.0.0/12", "fd00::1", "::/0")] == [4, 4, 6, 6]


def test_protocols_know_their_numbers() -> None:
    assert {p: p.number for p in Protocol} == {"TCP": 6, "UDP": 17, "SCTP": 132}


@pytest.mark.parametrize("family", Family)
def test_a_frontend_at_the_unspecified_address_is_a_node_port(family: Family) -> None:
    assert FrontendKey(family.any_address, Protocol.TCP, 30080).is_node_port
    assert not KEY.is_node_port


def test_an_ipv6_endpoint_is_written_with_brackets() -> None:
    assert str(Endpoint("10.244.1.21", 80)) == "10.244.1.21:80"
    assert str(Endpoint("fd00::1", 80)) == "[fd00::1]:80"
    assert str(FrontendKey("fd00::1", Protocol.UDP, 53)) == "[fd00::1]:53/UDP"


def test_each_client_has_its_own_verdict() -> None:
    frontend = Frontend(KEY, "default/web", Forward(ANYWHERE, False), Reject(), Drop())
    assert [frontend.verdict(client) for client in Client] == [Forward(ANYWHERE, False), Reject(), Drop()]
    assert frontend.verdicts == (Forward(ANYWHERE, False), Reject(), Drop())


def test_a_frontend_s_pools_are_told_once_each_in_the_order_of_clients() -> None:
    frontend = Frontend(KEY, "default/web", Forward(ANYWHERE, False), Forward(ANYWHERE, True), Forward(HERE, False))
    assert frontend.pools == (ANYWHERE, HERE)


def test_a_frontend_that_forwards_to_nobody_has_no_pools() -> None:
    assert Frontend(KEY, "default/web", Reject(), Drop(), Reject()).pools == ()


class TestDetectLocal:
    def test_it_does_not_apply_when_nothing_is_said(self) -> None:
        assert not any(DetectLocal().applies_to(family) for family in Family)

    def test_a_network_applies_to_its_own_family(self) -> None:
        rule = DetectLocal(("10.244.0.0/16",))
        assert rule.applies_to(Family.IPV4)
        assert not rule.applies_to(Family.IPV6)

    def test_an_interface_applies_to_both(self) -> None:
        assert all(DetectLocal(interface="cni0").applies_to(family) for family in Family)

    def test_the_first_network_of_a_family_counts(self) -> None:
        rule = DetectLocal(("fd00:244::/32", "10.244.0.0/16", "10.245.0.0/16"))
        assert (rule.network(Family.IPV4), rule.network(Family.IPV6)) == ("10.244.0.0/16", "fd00:244::/32")
