"""Addresses and networks as text in one canonical form.

Two addresses are the same if and only if their texts are. Kubernetes objects hold older spellings too
(``172.30.0.041``), which Go has always read as decimal; so are they here.
"""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache

_LOOPBACK = ("127.0.0.0/8", "::1/128")


def canonical_address(text: str) -> str | None:
    """The address as `socket.inet_ntop` writes it, or None if the text is no IPv4 or IPv6 address."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    except (OSError, ValueError):
        return _with_leading_zeros(text)


def _with_leading_zeros(text: str) -> str | None:
    """``010.0.0.041`` → ``10.0.0.41``: octets with leading zeros are decimal, never octal."""
    octets = text.split(".")
    if len(octets) != 4 or not all(o.isascii() and o.isdigit() and int(o) < 256 for o in octets):
        return None
    return ".".join(str(int(o)) for o in octets)


def canonical_network(text: str) -> str | None:
    """``address/length`` with the host bits cleared, or None if the text is no network in that notation."""
    head, slash, length = text.partition("/")
    address = canonical_address(head)
    if address is None or not slash or not (length.isascii() and length.isdigit()):
        return None
    try:
        return str(ipaddress.ip_network(f"{address}/{int(length)}", strict=False))
    except ValueError:
        return None


def host_network(address: str) -> str:
    """The network that holds this one address: its /32 or /128."""
    return f"{address}/{128 if ':' in address else 32}"


@lru_cache(maxsize=4096)
def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network as a value that can be asked; the text must be canonical."""
    return ipaddress.ip_network(text)


def contains(networks: tuple[str, ...] | frozenset[str], address: str) -> bool:
    """Whether one of the networks holds the address. Those of the other family never do."""
    asked = ipaddress.ip_address(address)
    return any(asked in network(n) for n in networks)


def is_loopback(address: str) -> bool:
    return contains(_LOOPBACK, address)
