"""Who has which address in the soak, so that an answer alone tells whose it is.

A Service is known by its slot. Whatever changes, a slot keeps its addresses, and an endpoint's address names the slot
that it belongs to: an answer from another slot's endpoint is a mistake at any time.
"""

from __future__ import annotations

NODE = "n1"
NODE_ADDRESSES = ("192.0.2.1", "fd00:192::1")
CLUSTER_CIDRS = ("10.128.0.0/9", "fd00:10::/32")
SERVICE_CIDRS = ("10.96.0.0/12", "fd00:96::/112")

#: The ports that endpoints answer on.
TCP_PORTS = (8080, 8081)
UDP_PORT = 8053

FAMILIES = (4, 6)

_NEVER_0 = 0x100  # so that an IPv6 address is always written with its slot


def cluster_ip(slot: int, family: int) -> str:
    return f"10.96.1.{slot}" if family == 4 else f"fd00:96::{_NEVER_0 + slot:x}"


def endpoint(slot: int, number: int, family: int) -> str:
    return f"10.200.{slot}.{number}" if family == 4 else f"fd00:10:200::{_NEVER_0 + slot:x}:{number:x}"


def node_port(slot: int) -> int:
    return 30000 + slot


def slot_of(address: str) -> int:
    """Of an endpoint's address."""
    return int(address.split(".")[2]) if "." in address else int(address.split(":")[-2], 16) - _NEVER_0
