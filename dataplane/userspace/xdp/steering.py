"""Which packets the engine wants, of a ForwardingTable: the entries of the XDP program's maps.

Nothing here is about flows. Whether a packet belongs to one, only the engine knows; the program sends it all that
might, which is what comes from a backend. So the entries change with the table and not with every connection.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dataplane.addresses import network
from dataplane.reference import answers_node_ports
from dataplane.table import Endpoint, Family, ForwardingTable, Frontend, FrontendKey, Protocol
from dataplane.userspace.columns import packed
from dataplane.userspace.image import Host
from dataplane.userspace.xdp.program import AS_DESTINATION, AS_HOST, AS_SOURCE

KEY_SIZE = 20
PREFIX_KEY_SIZE = 24


def key(address: str, protocol: Protocol | None, port: int) -> bytes:
    """An address, protocol and port as the program looks for them; no protocol stands for a piece without ports."""
    number = protocol.number if protocol else 0
    return packed(address) + port.to_bytes(2, "big") + bytes((number, Family.of(address)))


def prefix_key(cidr: str) -> bytes:
    """A network as the program's prefixes have it."""
    known = network(cidr)
    length = (32 + known.prefixlen).to_bytes(4, sys.byteorder)
    return length + bytes((known.version, 0, 0, 0)) + packed(str(known.network_address))


@dataclass(frozen=True, slots=True)
class Wanted:
    """An endpoint's role, bits AS_DESTINATION and AS_SOURCE, and the service ports that it is for."""

    role: int
    services: frozenset[str]


@dataclass(frozen=True, slots=True)
class Steering:
    """What the program's maps hold, by key."""

    endpoints: Mapping[bytes, Wanted]
    prefixes: Mapping[bytes, int]


def steering(table: ForwardingTable, host: Host) -> Steering:
    """What is wanted while this table is in force."""
    roles: dict[bytes, int] = {}
    services: dict[bytes, set[str]] = {}
    node_addresses = tuple(
        address
        for address in sorted(table.node_addresses | host.addresses)
        if answers_node_ports(table, address, host.addresses) and not ipaddress.ip_address(address).is_loopback
    )
    for frontend in table.frontends.values():
        for role, found in (
            (AS_DESTINATION, _entrances(frontend, node_addresses)),
            (AS_SOURCE, _backends(frontend)),
        ):
            for wanted in _keys(frontend.key.protocol, found):
                roles[wanted] = roles.get(wanted, 0) | role
                services.setdefault(wanted, set()).add(frontend.service)
    return Steering(
        {wanted: Wanted(role, frozenset(services[wanted])) for wanted, role in roles.items()},
        _prefixes(table, host),
    )


def kept(key: FrontendKey, backend: Endpoint, service: str, host: Host) -> Mapping[bytes, Wanted]:
    """What connections from a frontend to a backend need that may be in no table any more. A node port's are taken on
    all addresses of the host."""
    at = sorted(host.addresses) if key.is_node_port else [key.address]
    entrances = [Endpoint(address, key.port) for address in at if Family.of(address) is key.family]
    wanted = {k: Wanted(AS_DESTINATION, frozenset({service})) for k in _keys(key.protocol, entrances)}
    return wanted | {k: Wanted(AS_SOURCE, frozenset({service})) for k in _keys(key.protocol, [backend])}


def _prefixes(table: ForwardingTable, host: Host) -> dict[bytes, int]:
    served = [network(cidr) for cidr in table.service_cidrs]
    found = {prefix_key(cidr): AS_DESTINATION for cidr in table.service_cidrs}
    for address in table.cluster_ips | host.addresses:
        known = ipaddress.ip_address(address)
        # The longest prefix is all that is found, so it has to say what the shorter ones would.
        wanted = address in table.cluster_ips or any(known in cidr for cidr in served)
        role = (AS_DESTINATION if wanted else 0) | (AS_HOST if address in host.addresses else 0)
        found[prefix_key(f"{address}/{known.max_prefixlen}")] = role
    return found


def _keys(protocol: Protocol, endpoints: Iterable[Endpoint]) -> Iterator[bytes]:
    for address, port in endpoints:
        yield key(address, protocol, port)
        yield key(address, None, 0)


def _entrances(frontend: Frontend, node_addresses: Iterable[str]) -> Iterator[Endpoint]:
    if not frontend.key.is_node_port:
        yield Endpoint(frontend.key.address, frontend.key.port)
        return
    for address in node_addresses:
        if Family.of(address) is frontend.key.family:
            yield Endpoint(address, frontend.key.port)


def _backends(frontend: Frontend) -> Iterator[Endpoint]:
    yield from frontend.serving or ()
    for pool in frontend.pools:
        for backend in pool.backends:
            yield backend.endpoint
