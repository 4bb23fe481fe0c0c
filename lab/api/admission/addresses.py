"""Giving out cluster IPs and NodePorts: which are free, and which to take next.

Both follow the same idea (KEP-3070, KEP-3668): the low part of a range is left to those who ask for a number of their
own, and what is chosen by itself comes at random from the rest, so that the two rarely meet.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


#: Of the widest IPv6 networks only so many addresses are given out: `len` of a range has no larger numbers.
_MOST = 1 << 62


class Taken(Exception):  # noqa: N818 (the message is for the caller to complete)
    """What was asked for can't be had. The message says why, in the real server's words."""


class Numbers:
    """Numbers of one range, taken and free. The first `reserved` are given out by themselves only at last."""

    def __init__(self, numbers: range, reserved: int, rng: random.Random) -> None:
        self._range = numbers
        self._reserved = reserved
        self._random = rng
        self._taken: set[int] = set()

    def __contains__(self, number: int) -> bool:
        return number in self._range

    def take(self, number: int) -> bool:
        """Take this one. False if it is taken already."""
        if number in self._taken:
            return False
        self._taken.add(number)
        return True

    def next(self) -> int | None:
        """Take any free one; None if there is none."""
        split = self._reserved if len(self._range) > self._reserved else 0
        for part in (self._range[split:], self._range[:split]):
            if not part:
                continue
            start = self._random.randrange(len(part))
            for i in range(len(part)):
                number = part[(start + i) % len(part)]
                if self.take(number):
                    return number
        return None

    def give_back(self, number: int) -> None:
        self._taken.discard(number)


class NodePorts:
    """The ports that Services open on every node. One Service may have one number for several protocols."""

    def __init__(self, ports: range, rng: random.Random) -> None:
        self._ports = ports
        self._numbers = Numbers(ports, _between(16, len(ports) // 32, 128), rng)

    def take(self, port: int) -> None:
        """Take this port. Taken if it can't be had."""
        if port not in self._numbers:
            bounds = f"{self._ports.start}-{self._ports.stop - 1}"
            raise Taken(f"provided port is not in the valid range. The range of valid ports is {bounds}")
        if not self._numbers.take(port):
            raise Taken("provided port is already allocated")

    def next(self) -> int:
        """Take any free port. Taken if there is none."""
        port = self._numbers.next()
        if port is None:
            raise Taken("range is full")
        return port

    def give_back(self, port: int) -> None:
        self._numbers.give_back(port)


class ClusterIPs:
    """The addresses of Services, from the networks of all ServiceCIDRs."""

    def __init__(self, rng: random.Random) -> None:
        self._random = rng
        self._networks: dict[str, Numbers] = {}

    def take(self, address: str, networks: Sequence[str]) -> None:
        """Take this address, which must be in one of these networks. Taken if it can't be had."""
        wanted = ipaddress.ip_address(address)
        for network in networks:
            if wanted in parsed(network):
                if not self._numbers(network).take(int(wanted)):
                    raise Taken(f"failed to allocate IP {address}: provided IP is already allocated")
                return
        raise Taken(
            f"failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. "
            f"The range of valid IPs is {', '.join(networks)}"
        )

    def next(self, networks: Sequence[str]) -> str:
        """Take any free address of these networks. Taken if there is none."""
        for network in networks:
            number = self._numbers(network).next()
            if number is not None:
                return str(parsed(network)[0].__class__(number))
        raise Taken("failed to allocate a serviceIP: range is full")

    def give_back(self, address: str) -> None:
        for network, numbers in self._networks.items():
            if ipaddress.ip_address(address) in parsed(network):
                numbers.give_back(int(ipaddress.ip_address(address)))

    def _numbers(self, network: str) -> Numbers:
        if network not in self._networks:
            found = parsed(network)
            first = int(found[0])
            last = min(int(found[-1]), first + _MOST)
            usable = range(first + 1, last if found.version == 4 else last + 1)  # neither network nor broadcast
            self._networks[network] = Numbers(usable, _between(16, len(usable) // 16, 256), self._random)
        return self._networks[network]


@lru_cache(maxsize=256)
def parsed(network: str) -> Network:
    return ipaddress.ip_network(network)


def _between(least: int, value: int, most: int) -> int:
    return max(least, min(value, most))
