"""A packet leaves by an interface if routes and neighbours leave no doubt, and else by the kernel's path."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from dataplane.netlink.routing import LinkState, Neighbour, Route, Routing
from dataplane.userspace.xdp.exits import Exit, exits

POD, ETH = 7, 2
POD_MAC, ROUTER_MAC, PEER_MAC = (bytes((2, 0, 0, 0, 0, last)) for last in (1, 2, 3))
SOCKETS = {POD: 0, ETH: 5}

KNOWN = Routing(
    links=(
        LinkState(POD, "pod-c1", "veth", bytes(6), 1500, 1, True),
        LinkState(ETH, "eth0", "", bytes(6), 1400, 1, True),
    ),
    routes=(
        Route("10.244.1.10/32", POD, None, 0, None),
        Route("192.0.2.0/24", ETH, None, 0, None),
        Route("10.244.2.0/24", ETH, "192.0.2.2", 0, None),
        Route("0.0.0.0/0", ETH, "192.0.2.254", 100, None),
        Route("192.0.2.1/32", None, None, 0, None, local=True),
        Route("203.0.113.0/24", None, None, 0, None),
    ),
    neighbours=(
        Neighbour(POD, "10.244.1.10", POD_MAC, False),
        Neighbour(ETH, "192.0.2.2", PEER_MAC, True),
    ),
    simple=True,
)


def way(known: Routing, address: str) -> Exit | None:
    """By longest prefix, as native/forwarding.c does."""
    ways = [e for e in exits(known, SOCKETS) if ip_address(address) in e.network]
    return max(ways, key=lambda e: e.network.prefixlen, default=None)


def number(known: Routing, address: str) -> int | None:
    found = way(known, address)
    assert found
    return found.number


def test_a_pod_is_reached_by_its_interface() -> None:
    assert way(KNOWN, "10.244.1.10") == Exit(ip_network("10.244.1.10/32"), 0, POD_MAC, 1500)


def test_a_network_behind_a_router_is_reached_by_the_router() -> None:
    assert way(KNOWN, "10.244.2.99") == Exit(ip_network("10.244.2.0/24"), 5, PEER_MAC, 1400)


def test_a_known_neighbour_is_reached_directly_and_others_are_for_the_kernel_to_find() -> None:
    assert way(KNOWN, "192.0.2.2") == Exit(ip_network("192.0.2.2/32"), 5, PEER_MAC, 1400)
    assert number(KNOWN, "192.0.2.3") is None


def test_what_is_behind_an_unknown_router_is_the_kernels() -> None:
    assert number(KNOWN, "198.51.100.1") is None


def test_this_host_and_what_is_not_to_be_reached_are_the_kernels() -> None:
    assert number(KNOWN, "192.0.2.1") is None
    assert number(KNOWN, "203.0.113.7") is None


def test_an_interface_without_socket_is_the_kernels() -> None:
    assert all(e.number != 5 for e in exits(KNOWN, {POD: 0}))


def test_of_two_routes_to_one_network_the_kernels_choice_counts() -> None:
    worse = Route("10.244.2.0/24", POD, None, 200, None)
    local = Route("10.244.1.10/32", None, None, 500, None, local=True)
    assert number(replace(KNOWN, routes=(worse, *KNOWN.routes)), "10.244.2.99") == 5
    assert number(replace(KNOWN, routes=(*KNOWN.routes, local)), "10.244.1.10") is None


def test_a_neighbour_that_another_route_leads_past_is_not_reached_directly() -> None:
    stranger = Neighbour(POD, "10.244.2.5", POD_MAC, False)
    assert number(replace(KNOWN, neighbours=(*KNOWN.neighbours, stranger)), "10.244.2.5") == 5


def test_a_routes_own_mtu_counts_if_it_is_smaller() -> None:
    narrow = replace(KNOWN.routes[2], mtu=1280)
    found = way(replace(KNOWN, routes=(narrow, *KNOWN.routes[3:])), "10.244.2.99")
    assert found
    assert found.mtu == 1280


def test_with_unusual_rules_everything_is_the_kernels() -> None:
    assert exits(replace(KNOWN, simple=False), SOCKETS) == ()
