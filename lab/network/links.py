"""Interfaces, addresses, routes and neighbours of the namespace that the calling thread is in, over netlink.

Interfaces are made where they belong: a veth is made inside one namespace with its peer in the other, so nothing
ever appears in the host's namespace, not even for a moment.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from ipaddress import ip_address, ip_interface, ip_network
from types import TracebackType
from typing import Any, TypeVar

from pyroute2 import IPRoute

from lab.network.namespace import Namespace

_PERMANENT = 0x80  #: NUD_PERMANENT, linux/neighbour.h
_NO_DAD = 0x02  #: IFA_F_NODAD, linux/if_addr.h: no waiting to see whether somebody else has the address
_SCOPE_LINK = 253  #: RT_SCOPE_LINK, linux/rtnetlink.h

T = TypeVar("T")


class Links:
    """A netlink socket. A context manager; use it in the thread that made it (or let `inside` take care of that)."""

    def __init__(self) -> None:
        self._netlink: Any = IPRoute()

    def __enter__(self) -> Links:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._netlink.close()

    def index(self, name: str) -> int:
        """The number of an interface. KeyError if there is none of this name."""
        found = self._netlink.link_lookup(ifname=name)
        if not found:
            raise KeyError(name)
        return int(found[0])

    def up(self, name: str) -> None:
        self._netlink.link("set", index=self.index(name), state="up")

    def delete(self, name: str) -> None:
        self._netlink.link("del", index=self.index(name))

    def add_bridge(self, name: str) -> None:
        """A bridge that forwards from its first moment: no spanning tree, and no snooping that holds up neighbour
        discovery."""
        self._netlink.link("add", ifname=name, kind="bridge", br_stp_state=0, br_forward_delay=0, br_mcast_snooping=0)
        self.up(name)

    def add_to_bridge(self, name: str, bridge: str) -> None:
        self._netlink.link("set", index=self.index(name), master=self.index(bridge))

    def add_veth(
        self, name: str, peer: Namespace, peer_name: str, *, mac: str | None = None, peer_mac: str | None = None
    ) -> None:
        """A cable from here (`name`) to another namespace (`peer_name` there), both ends still down."""
        descriptor = os.open(peer.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            far: dict[str, Any] = {"ifname": peer_name, "net_ns_fd": descriptor}
            near: dict[str, Any] = {"ifname": name, "kind": "veth"}
            if peer_mac:
                far["address"] = peer_mac
            if mac:
                near["address"] = mac
            self._netlink.link("add", peer=far, **near)
        finally:
            os.close(descriptor)

    def add_address(self, name: str, interface: str) -> None:
        """`interface` is an address with its prefix length, as in ``192.0.2.1/24``. Usable at once."""
        address = ip_interface(interface)
        options = {"flags": _NO_DAD} if address.version == 6 else {}
        self._netlink.addr(
            "add", index=self.index(name), address=str(address.ip), prefixlen=address.network.prefixlen, **options
        )

    def add_route(
        self, destination: str, *, via: str | None = None, name: str | None = None, source: str | None = None
    ) -> None:
        """`destination` (``0.0.0.0/0`` and ``::/0`` are the defaults) through a gateway, an interface, or both.
        `source` is the local address that this host uses towards it."""
        network = ip_network(destination)
        route: dict[str, Any] = {"dst": str(network), "family": _family(network.version)}
        if name is not None:
            route["oif"] = self.index(name)
            if via is None and network.version == 4:
                route["scope"] = _SCOPE_LINK
        if via is not None:
            route["gateway"] = via
        if source is not None:
            route["prefsrc"] = source
        self._netlink.route("add", **route)

    def add_neighbour(self, name: str, address: str, mac: str) -> None:
        """Who has `address` on this link, known for ever: nobody has to ask."""
        self._netlink.neigh(
            "add",
            ifindex=self.index(name),
            family=_family(ip_address(address).version),
            dst=address,
            lladdr=mac,
            state=_PERMANENT,
        )


def inside(namespace: Namespace, function: Callable[[Links], T]) -> T:
    """What `function` returns when it works on the interfaces of `namespace`."""

    def work() -> T:
        with Links() as links:
            return function(links)

    return namespace.call(work)


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6
