"""Which frontend a destination belongs to, in the order in which packets find it."""

from __future__ import annotations

from dataplane.lookup import Lookup
from dataplane.reference import keys_in_order
from dataplane.table import Endpoint, ForwardingTable, Frontend, FrontendKey, Protocol, Reject

NODE, ELSEWHERE = Endpoint("192.0.2.1", 80), Endpoint("10.96.0.1", 80)
OWN = FrontendKey(NODE.address, Protocol.TCP, 80)
NODE_PORT = FrontendKey("0.0.0.0", Protocol.TCP, 80)


def table(*keys: FrontendKey) -> ForwardingTable:
    refuse = Reject()
    frontends = {key: Frontend(key, str(key), refuse, refuse, refuse) for key in keys}
    return ForwardingTable(frontends, node_addresses=frozenset({NODE.address}))


def found(table: ForwardingTable, destination: Endpoint, former: frozenset[str] = frozenset()) -> FrontendKey | None:
    frontend = Lookup(table, former).frontend(destination, Protocol.TCP)
    return frontend.key if frontend else None


def test_an_address_of_its_own_comes_before_a_node_port() -> None:
    assert keys_in_order(NODE, Protocol.TCP, on_node=True) == (OWN, NODE_PORT)
    assert found(table(OWN, NODE_PORT), NODE) == OWN
    assert found(table(NODE_PORT), NODE) == NODE_PORT


def test_node_ports_are_on_node_addresses_only_but_may_have_been_on_others() -> None:
    assert found(table(NODE_PORT), ELSEWHERE) is None
    assert found(table(NODE_PORT), ELSEWHERE, frozenset({ELSEWHERE.address})) == NODE_PORT


def test_nobody_is_reached_at_the_address_that_stands_for_node_ports() -> None:
    nobody = Endpoint("0.0.0.0", 80)
    assert keys_in_order(nobody, Protocol.TCP, on_node=True) == ()
    assert found(table(NODE_PORT), nobody, frozenset({"0.0.0.0"})) is None


def test_ipv6_has_node_ports_of_its_own() -> None:
    keys = keys_in_order(Endpoint("fd00::1", 80), Protocol.TCP, on_node=True)
    assert keys[-1] == FrontendKey("::", Protocol.TCP, 80)
