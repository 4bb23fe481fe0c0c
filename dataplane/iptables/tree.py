"""A long list of rules as a tree, so that a packet meets some dozens of them instead of thousands.

Kube-proxy asks a packet for one address after the other. Here a chain asks for the network first:

    KUBE-SERVICES              -d 10.96.0.0/16  -j KUBE-TO-10.96.0.0-16
    KUBE-TO-10.96.0.0-16       -d 10.96.64.0/20 -j KUBE-TO-10.96.64.0-20
    KUBE-TO-10.96.64.0-20      -d 10.96.65.3/32 -p tcp ... --dport 80 -j KUBE-SVC-...

A branch decides by the next four bits of the address, or of the port for node ports, and a chain is only divided where
it would be longer than `LONGEST`: a cluster with few Services looks as kube-proxy leaves it. The rules themselves are
the same. A packet that fits none comes back, as it would from the end of the list; it may go on because one that fits
an address fits no other address's rules.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from dataplane.iptables import skeleton
from dataplane.iptables.chain import FILTER, NAT, Chain, Rules

#: A chain with more rules than this is divided.
LONGEST = 8

_BITS_AT_ONCE = 4

#: What the names of branches begin with. A name is at most 28 characters long.
_BRANCHES = {
    skeleton.SERVICES: "KUBE-TO-",
    skeleton.NODE_PORTS: "KUBE-PORT-",
    skeleton.REFUSED: "KUBE-TO-",
    skeleton.REFUSED_EXTERNAL: "KUBE-TOX-",
    skeleton.SOURCE_LIMITS: "KUBE-TOF-",
}
_PREFIXES = tuple(sorted(set(_BRANCHES.values())))

_TO_ADDRESS = re.compile(r"(?<!! )-d ([0-9a-f.:]+)/(?:32|128) ")
_TO_PORT = re.compile(r"-p (\w+) .* --dport (\d+) ")


def is_branch(chain: Chain) -> bool:
    return chain.table in (NAT, FILTER) and chain.name.startswith(_PREFIXES)


def grown(root: Chain, rules: Rules) -> dict[Chain, Rules]:
    """The list of one shared chain as a tree: `root` and its branches. Rules without an address come last."""
    trunk: list[str] = []
    rest: list[str] = []
    by_space: dict[_Space, list[_Keyed]] = defaultdict(list)
    for rule in rules:
        keyed = _of_node_port(rule) if root == skeleton.NODE_PORTS else _of_address(rule)
        if keyed is None:
            rest.append(rule)
        else:
            space, key = keyed
            by_space[space].append(_Keyed(key, rule))
    chains: dict[Chain, Rules] = {}
    for space in sorted(by_space, key=str):
        trunk += _Growing(root, space, chains).rules(by_space[space], 0)
    return {root: (*trunk, *rest), **chains}


class _Keyed(NamedTuple):
    key: int
    rule: str


class _Space(Protocol):
    """What is divided: addresses of one family, or ports of one protocol."""

    @property
    def bits(self) -> int: ...

    def range(self, first: int, length: int) -> tuple[str, str]:
        """The match for all that begin with the same `length` bits as `first`, and what to call it."""


class _Addresses(NamedTuple):
    bits: int

    def range(self, first: int, length: int) -> tuple[str, str]:
        address = ipaddress.IPv4Address(first) if self.bits == 32 else ipaddress.IPv6Address(first)
        network = f"{address}/{length}"
        return f"-d {network}", network.replace("/", "-") if self.bits == 32 else _short(network)


class _Ports(NamedTuple):
    protocol: str
    bits: int = 16

    def range(self, first: int, length: int) -> tuple[str, str]:
        last = first + (1 << (self.bits - length)) - 1
        match = f"-p {self.protocol} -m {self.protocol} --dport {first}:{last}"
        return match, f"{self.protocol}-{first}-{last}"


class _Growing:
    """Divides the keys of one space; branches are put into `chains`."""

    def __init__(self, root: Chain, space: _Space, chains: dict[Chain, Rules]) -> None:
        self._root, self._space, self._chains = root, space, chains

    def rules(self, keyed: list[_Keyed], length: int) -> Iterator[str]:
        """The rules of a chain to which only keys come that share their first `length` bits."""
        groups: Mapping[int, list[_Keyed]] = {}
        while len(groups) < 2:
            if len(keyed) <= LONGEST or length == self._space.bits:
                yield from (rule for _, rule in keyed)
                return
            length += _BITS_AT_ONCE
            groups = self._divided(keyed, length)
        for first, group in sorted(groups.items()):
            if len(group) == 1:
                yield group[0].rule
                continue
            match, name = self._space.range(first, length)
            branch = Chain(self._root.table, _BRANCHES[self._root] + name)
            self._chains[branch] = tuple(self.rules(group, length))
            yield f"{match} -j {branch.name}"

    def _divided(self, keyed: list[_Keyed], length: int) -> Mapping[int, list[_Keyed]]:
        """By the first `length` bits: the first key of each range, and those in it."""
        groups: dict[int, list[_Keyed]] = defaultdict(list)
        rest = self._space.bits - length
        for one in keyed:
            groups[one.key >> rest << rest].append(one)
        return groups


def _of_address(rule: str) -> tuple[_Space, int] | None:
    found = _TO_ADDRESS.search(rule)
    if found is None:
        return None
    address = ipaddress.ip_address(found[1])
    return _Addresses(address.max_prefixlen), int(address)


def _of_node_port(rule: str) -> tuple[_Space, int] | None:
    found = _TO_PORT.search(rule)
    return (_Ports(found[1]), int(found[2])) if found else None


def _short(text: str) -> str:
    """Sixteen characters for an IPv6 network, whose own text may be too long for a name."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:10]).decode()
