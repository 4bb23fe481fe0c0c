"""Which frontend a flow that the kernel lists belongs to, on this host, whose addresses are asked for here."""

from __future__ import annotations

from dataplane.netlink.addresses import local_addresses
from dataplane.reference import keys_in_order
from dataplane.table import Endpoint, Family, ForwardingTable, Frontend, FrontendKey, Protocol


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
