"""Firewall marks: how the rules tell IPVS, and the routing, what is to be done with a packet.

A packet's mark is ours if its first seven bits are those of `PREFIX`. The rest says what to do:

    DELIVER           this host takes it; IPVS knows the connection, or the virtual server by its address
    FIRST ... LAST    this host takes it, and IPVS gives it to the virtual server with that mark
    REJECT, DROP      it is refused on its way: with an answer, or in silence
    ..._NODE_PORT     likewise, but only where it comes in: a NodePort is looked for behind this host's own addresses

`MASQUERADE` is set besides in the elements of maps. It moves to the *connection's* mark before IPVS looks, as the
packet's mark must be exactly that of the virtual server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container

PREFIX, MASK = 0x5E000000, 0xFE000000
DELIVER, DELIVER_MASK = PREFIX, 0xFF000000  #: by which routing tells what this host takes
REJECT, DROP = PREFIX | 0x01000001, PREFIX | 0x01000002
REJECT_NODE_PORT, DROP_NODE_PORT = PREFIX | 0x01000003, PREFIX | 0x01000004
MASQUERADE = 0x00800000
FIRST, LAST = PREFIX | 0x10, PREFIX | 0x7FFFFF


def is_ours(mark: int) -> bool:
    """Whether it is one that a virtual server of ours can have."""
    return FIRST <= mark <= LAST


def mark_for(name: str, taken: Container[int]) -> int:
    """A mark that is not taken. The same name gets the same one again after a restart, but where two names collide."""
    count = LAST - FIRST + 1
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    for attempt in range(count):
        mark = FIRST + (number + attempt) % count
        if mark not in taken:
            return mark
    raise OverflowError(f"all {count} firewall marks are taken")


def connection_bits(masquerade_bit: int) -> tuple[int, int]:
    """Bits of a connection's mark: masquerade it; IPVS has it."""
    return 1 << masquerade_bit, 1 << (masquerade_bit + 1) % 32
