"""Which packets the engine wants, of a ForwardingTable: the entries of the XDP program's maps.

Nothing here is about flows. Whether a packet belongs to one, only the engine knows; the program sends it all that
might, which is what comes from a backend. So the entries change with the table and not with every connection.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from dataplane.addresses import network
from dataplane.changes import Changes
from dataplane.reference import answers_node_ports
from dataplane.table import Endpoint, Family, ForwardingTable, Frontend, FrontendKey, Protocol
from dataplane.userspace.columns import packed
from dataplane.userspace.held import Held, User, places
from dataplane.userspace.image import Host
from dataplane.userspace.xdp.program import AS_DESTINATION, AS_HOST, AS_SOURCE

KEY_SIZE = 20
PREFIX_KEY_SIZE = 24

Place: TypeAlias = tuple[bytes, int]
"""A key in one of its roles."""

_ROLES = (AS_DESTINATION, AS_SOURCE, AS_HOST)


def key(address: str, protocol: Protocol | None, port: int) -> bytes:
    """An address, protocol and port as the program looks for them; no protocol stands for a piece without ports."""
    number = protocol.number if protocol else 0
    return packed(address) + port.to_bytes(2, "big") + bytes((number, Family.of(address)))


def prefix_key(cidr: str) -> bytes:
    """A network as the program's prefixes have it."""
    known = network(cidr)
    length = (32 + known.prefixlen).to_bytes(4, sys.byteorder)
    return length + bytes((known.version, 0, 0, 0)) + packed(str(known.network_address))


class Roles:
    """What one of the program's maps holds: keys, each with the roles that somebody wants of it."""

    def __init__(self) -> None:
        self._held: Held[Place] = Held()
        self._moved: set[bytes] = set()

    def replace(self, old: Mapping[Place, frozenset[User]], new: Mapping[Place, frozenset[User]]) -> None:
        """A holder wants other keys, or the same in other roles."""
        self._moved.update(key for key, _ in self._held.replace(old, new))

    def keep(self, places: Iterable[Place], user: User) -> None:
        """Connections go on of which no holder may know."""
        self._moved.update(place[0] for place in places if self._held.keep(place, user))

    def prune(self, busy: Callable[[User], bool]) -> None:
        """Forget what nobody holds, and nobody who is busy uses."""
        self._moved.update(key for key, _ in self._held.prune(busy))

    def moved(self) -> dict[bytes, int]:
        """The keys that may not be in the map as they should, with their roles: 0 if they should not be in it."""
        return {key: sum(role for role in _ROLES if (key, role) in self._held) for key in self._moved}

    def written(self) -> None:
        """The map is as it should be."""
        self._moved.clear()


class Steering:
    """What is wanted, through any changes of tables and of the host."""

    def __init__(self) -> None:
        self.endpoints, self.prefixes = Roles(), Roles()
        self._table, self._host = ForwardingTable(), Host()
        self._node_addresses: tuple[str, ...] = ()

    def update(self, table: ForwardingTable, host: Host, busy: Callable[[User], bool]) -> None:
        """What this table serves is wanted now, and of what it no longer has only what those use who are `busy`."""
        old, changes = self._table, Changes.between(self._table, table)
        before, after = self._node_addresses, _node_addresses(table, host)
        for was, now in changes.frontends.values():
            self.endpoints.replace(_places(was, before), _places(now, after))
        for frontend in table.frontends.values() if before != after else ():
            if frontend.key.is_node_port and frontend.key not in changes.frontends:
                self.endpoints.replace(_places(frontend, before), _places(frontend, after))
        gone, come = changes.cluster_ips
        self.prefixes.replace(_whole(gone), _whole(come))
        self.prefixes.replace(_of_host(old, self._host), _of_host(table, host))
        for roles in (self.endpoints, self.prefixes):
            roles.prune(busy)
        self._table, self._host, self._node_addresses = table, host, after

    def keep(self, key: FrontendKey, backend: Endpoint, user: User, host: Host) -> None:
        """Connections from a frontend to a backend are known that may be in no table any more. A node port's are taken
        on all addresses of the host."""
        at = sorted(host.addresses) if key.is_node_port else [key.address]
        for address in at:
            if Family.of(address) is key.family:
                self.endpoints.keep(_wanted(key.protocol, Endpoint(address, key.port), AS_DESTINATION), user)
        self.endpoints.keep(_wanted(key.protocol, backend, AS_SOURCE), user)


def _node_addresses(table: ForwardingTable, host: Host) -> tuple[str, ...]:
    return tuple(
        address
        for address in sorted(table.node_addresses | host.addresses)
        if answers_node_ports(table, address, host.addresses) and not ipaddress.ip_address(address).is_loopback
    )


def _places(frontend: Frontend | None, node_addresses: Iterable[str]) -> dict[Place, frozenset[User]]:
    if frontend is None:
        return {}
    key = frontend.key
    at = node_addresses if key.is_node_port else (key.address,)
    entrances = [Endpoint(address, key.port) for address in at if Family.of(address) is key.family]
    return places(
        frontend,
        [place for entrance in entrances for place in _wanted(key.protocol, entrance, AS_DESTINATION)],
        lambda endpoint: _wanted(key.protocol, endpoint, AS_SOURCE),
    )


def _wanted(protocol: Protocol, endpoint: Endpoint, role: int) -> tuple[Place, Place]:
    """An endpoint's packets, and the pieces of them that have no ports."""
    address, port = endpoint
    return (key(address, protocol, port), role), (key(address, None, 0), role)


def _whole(addresses: Iterable[str]) -> dict[Place, frozenset[User]]:
    """Addresses of which everything is wanted."""
    return {(_prefix_of(address), AS_DESTINATION): frozenset() for address in addresses}


def _of_host(table: ForwardingTable, host: Host) -> dict[Place, frozenset[User]]:
    """The networks of Services, and the addresses of the host."""
    served = [network(cidr) for cidr in table.service_cidrs]
    wanted = [(prefix_key(cidr), AS_DESTINATION) for cidr in table.service_cidrs]
    for address in host.addresses:
        wanted.append((_prefix_of(address), AS_HOST))
        # The longest prefix is all that is found, so it has to say what the shorter ones would.
        if any(ipaddress.ip_address(address) in cidr for cidr in served):
            wanted.append((_prefix_of(address), AS_DESTINATION))
    return dict.fromkeys(wanted, frozenset())


def _prefix_of(address: str) -> bytes:
    return prefix_key(f"{address}/{ipaddress.ip_address(address).max_prefixlen}")
