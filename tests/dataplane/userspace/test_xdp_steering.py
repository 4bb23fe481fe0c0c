"""What the XDP program's maps hold after any changes, and whoever still has connections."""

from __future__ import annotations

import ipaddress

from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.table import Backend, Endpoint, Forward, ForwardingTable, Frontend, FrontendKey, Pool, Protocol
from dataplane.userspace.image import Host
from dataplane.userspace.xdp.program import AS_DESTINATION, AS_SOURCE
from dataplane.userspace.xdp.steering import Roles, Steering, key
from strategies import tables

addresses = st.sampled_from(["192.0.2.1", "192.0.2.2", "10.96.0.10", "127.0.0.1", "2001:db8::1"])
hosts = st.builds(lambda found: Host(addresses=found), st.frozensets(addresses))


class Map:
    """A map of the kernel, as it is written."""

    def __init__(self) -> None:
        self.entries: dict[bytes, int] = {}

    def write(self, roles: Roles) -> None:
        for each, role in roles.moved().items():
            if role:
                self.entries[each] = role
            else:
                self.entries.pop(each, None)
        roles.written()


def from_nothing(table: ForwardingTable, host: Host) -> tuple[dict[bytes, int], dict[bytes, int]]:
    steering = Steering()
    steering.update(table, host, lambda user: False)
    return steering.endpoints.moved(), steering.prefixes.moved()


@settings(max_examples=30)
@given(st.lists(st.tuples(tables(), hosts, st.booleans()), min_size=1, max_size=4))
def test_changes_lead_to_what_would_be_written_where_there_is_nothing(
    steps: list[tuple[ForwardingTable, Host, bool]],
) -> None:
    steering, endpoints, prefixes = Steering(), Map(), Map()
    for table, host, written in steps:
        steering.update(table, host, lambda user: False)
        if written:
            endpoints.write(steering.endpoints)
            prefixes.write(steering.prefixes)
    endpoints.write(steering.endpoints)
    prefixes.write(steering.prefixes)
    table, host, _ = steps[-1]
    assert (endpoints.entries, prefixes.entries) == from_nothing(table, host)


KEY = FrontendKey("10.96.0.10", Protocol.TCP, 80)
A, B = Endpoint("10.244.1.21", 8080), Endpoint("10.244.1.22", 8080)


def served(*backends: Endpoint) -> ForwardingTable:
    forward = Forward(Pool(tuple(Backend(*backend, True) for backend in backends), None), False)
    return ForwardingTable({KEY: Frontend(KEY, "default/web", forward, forward, forward)})


def test_a_connection_to_a_backend_that_left_goes_on_when_the_service_goes_too() -> None:
    steering, endpoints = Steering(), Map()
    for table in (served(A, B), served(B), ForwardingTable()):
        steering.update(table, Host(), lambda user: user == ("default/web", A))
        endpoints.write(steering.endpoints)
    entrance, answering = (
        {key(address, protocol, port) for protocol, port in ((Protocol.TCP, given_port), (None, 0))}
        for address, given_port in (("10.96.0.10", 80), A)
    )
    assert endpoints.entries == dict.fromkeys(entrance, AS_DESTINATION) | dict.fromkeys(answering, AS_SOURCE)
    steering.update(ForwardingTable(), Host(), lambda user: False)
    endpoints.write(steering.endpoints)
    assert not endpoints.entries


def test_one_change_among_many_services_moves_only_what_it_is_about() -> None:
    many = {
        each: Frontend(each, "default/web", *(Forward(Pool((Backend(*A, True),), None), False),) * 3)
        for each in (KEY._replace(address=str(ipaddress.ip_address("10.96.1.0") + i)) for i in range(500))
    }
    steering = Steering()
    steering.update(ForwardingTable(many), Host(), lambda user: False)
    steering.endpoints.written()
    changed = Frontend(KEY, "default/web", *(Forward(Pool((Backend(*B, True),), None), False),) * 3)
    steering.update(ForwardingTable(many | {KEY: changed}), Host(), lambda user: False)
    assert len(steering.endpoints.moved()) == 4
