"""The ways out, for native/forwarding.h: the kernel's routes and neighbours put together, so that a packet asks once.

Everything that is not certain is the kernel's: what has no known neighbour, leaves by an interface without a socket, is
for this host, or follows rules that are not looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from dataplane.netlink.routing import LinkState, Neighbour, Route, Routing

_LONGEST_MTU = 0xFFFF


@dataclass(frozen=True, slots=True)
class Exit:
    """A network, and how it is reached: by the socket `number` to `mac`, or by the kernel if `number` is None."""

    network: IPv4Network | IPv6Network
    number: int | None = None
    mac: bytes = bytes(6)
    mtu: int = 0


def exits(known: Routing, sockets: Mapping[int, int]) -> tuple[Exit, ...]:
    """The ways out. `sockets` has the number of a socket for each interface that has one.

    Networks are there once. None at all if rules decide: then every packet goes by the kernel's path.
    """
    if not known.simple:
        return ()
    links = {link.index: link for link in known.links}
    routes = _best(known.routes)
    macs = {(n.interface, n.address): n.mac for n in known.neighbours}
    found: dict[IPv4Network | IPv6Network, Exit] = {}
    for network, route in routes.items():
        mac = macs.get((route.interface or 0, route.gateway)) if route.gateway else None
        found[network] = _exit(network, route, mac, sockets, links)
    for host, neighbour in _hosts(known.neighbours):
        direct = _longest(host, routes)
        if direct and direct.interface == neighbour.interface and not direct.gateway:
            found[host] = _exit(host, direct, neighbour.mac, sockets, links)
    return tuple(found.values())


def _exit(
    network: IPv4Network | IPv6Network,
    route: Route,
    mac: bytes | None,
    sockets: Mapping[int, int],
    links: Mapping[int, LinkState],
) -> Exit:
    if mac is None or route.interface is None or route.interface not in sockets or route.interface not in links:
        return Exit(network)
    mtu = min(links[route.interface].mtu, route.mtu or _LONGEST_MTU, _LONGEST_MTU)
    return Exit(network, sockets[route.interface], mac, mtu)


def _best(routes: Iterable[Route]) -> dict[IPv4Network | IPv6Network, Route]:
    """Of the routes to one network, the one that the kernel takes: local ones first, then by metric."""
    best: dict[IPv4Network | IPv6Network, Route] = {}
    for route in sorted(routes, key=lambda r: (not r.local, r.metric)):
        best.setdefault(_network(route.network), route)
    return best


def _hosts(neighbours: Iterable[Neighbour]) -> Iterator[tuple[IPv4Network | IPv6Network, Neighbour]]:
    for neighbour in neighbours:
        if not ip_address(neighbour.address).is_multicast:
            yield _network(neighbour.address), neighbour


def _longest(host: IPv4Network | IPv6Network, routes: Mapping[IPv4Network | IPv6Network, Route]) -> Route | None:
    for length in range(host.max_prefixlen, -1, -1):
        route = routes.get(host.supernet(new_prefix=length))
        if route:
            return route
    return None


@lru_cache(maxsize=8192)
def _network(text: str) -> IPv4Network | IPv6Network:
    """Parsing takes most of the time here, and what is parsed is nearly always the same."""
    return ip_network(text)
