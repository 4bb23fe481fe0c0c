"""How a destination finds its frontend: by its own address first, and then as a NodePort, where those answer."""

from __future__ import annotations

from dataplane.netlink.addresses import local_addresses
from dataplane.table import Endpoint, Family, ForwardingTable, Frontend, FrontendKey, Protocol


def keys_in_order(destination: Endpoint, protocol: Protocol, *, on_node: bool) -> tuple[FrontendKey, ...]:
    """The keys that a packet's destination is looked up by; `on_node` says that NodePorts answer on its address."""
    key = FrontendKey.of(destination, protocol)
    if key.is_node_port:
        return ()  # nobody's address: it only stands for NodePorts in the table
    return (key, FrontendKey.of(destination, protocol, node_port=True)) if on_node else (key,)


class Lookup:
    """Looks destinations up in a table, for flows that the kernel lists.

    Where NodePorts answer on every address of this host, those are asked for once, in the network namespace of the
    calling thread; the loopback ones are among them, as mode iptables may serve NodePorts there. `former` are node
    addresses that were. OSError if the host does not tell its addresses.
    """

    def __init__(self, table: ForwardingTable, former: frozenset[str] = frozenset()) -> None:
        self._frontends = table.frontends
        self._node_addresses = table.node_addresses | former
        if any(family.any_address in self._node_addresses for family in Family):
            self._node_addresses |= local_addresses()

    def keys(self, destination: Endpoint, protocol: Protocol) -> tuple[FrontendKey, ...]:
        """Those that it may be served by, in the order in which packets find them, whether or not they are there."""
        return keys_in_order(destination, protocol, on_node=destination.address in self._node_addresses)

    def frontend(self, destination: Endpoint, protocol: Protocol) -> Frontend | None:
        """The one that serves it; None if none does."""
        keys = self.keys(destination, protocol)
        return next((self._frontends[key] for key in keys if key in self._frontends), None)
