"""Which addresses the pods of one node get."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

_FIRST = 2  #: .0 is the network and .1 by custom its router, as with the host-local plugin of CNI
_LAST = 254  #: one fewer than the last of a /24, so IPv4 and IPv6 addresses of a pod can share their number


class AddressPool:
    """Gives out addresses in turn, so that an address that was given back rests as long as possible: connections to
    the pod that had it may still be remembered somewhere."""

    def __init__(self, pod_cidrs: Sequence[str]) -> None:
        self._networks = tuple(ip_network(cidr) for cidr in pod_cidrs)
        self._used: set[int] = set()
        self._next = _FIRST

    def take(self) -> tuple[str, ...]:
        """One address of each network, all with the same number. LookupError if all are in use."""
        for offset in range(_LAST - _FIRST + 1):
            number = _FIRST + (self._next - _FIRST + offset) % (_LAST - _FIRST + 1)
            if number not in self._used:
                self._used.add(number)
                self._next = number + 1
                return tuple(str(network[number]) for network in self._networks)
        raise LookupError(f"all {_LAST - _FIRST + 1} pod addresses of {self._networks[0]} are in use")

    def give_back(self, addresses: Sequence[str]) -> None:
        network, address = self._networks[0], ip_address(addresses[0])
        self._used.discard(int(address) - int(network.network_address))
