"""The Internet checksum for Python: `native/checksum.c` with integers as people write them.

The C code handles checksums as they lie in memory. Here they are numbers in network byte order: the checksum
0x220d is the bytes 22 0d on the wire, on every machine.
"""

from __future__ import annotations

import sys

from native._native import ffi, lib


def checksum(data: bytes) -> int:
    """The checksum over `data` (RFC 1071): 0 if `data` holds its own right checksum already."""
    return _swap(lib.checksum_finish(lib.checksum_add(0, ffi.from_buffer(data), len(data))))


def delta(before: bytes, after: bytes) -> int:
    """What it does to a checksum when `before` becomes `after`: a port, an IPv4 or an IPv6 address.

    Both are 2, 4 or 16 bytes, and begin at an even place of what the checksum covers. ValueError otherwise.
    """
    if len(before) != len(after) or len(before) not in (2, 4, 16):
        raise ValueError(f"expected twice 2, 4 or 16 bytes, got {len(before)} and {len(after)}")
    if len(before) == 16:
        return _swap(lib.checksum_fold(lib.checksum_change128(before, after)))
    old, new = int.from_bytes(before, sys.byteorder), int.from_bytes(after, sys.byteorder)
    if len(before) == 4:
        return _swap(lib.checksum_fold(lib.checksum_change32(old, new)))
    return _swap(lib.checksum_delta16(old, new))


def join(first: int, second: int) -> int:
    """One delta for two changes."""
    return _swap(lib.checksum_delta_join(_swap(first), _swap(second)))


def update(before: int, change: int) -> int:
    """The checksum after a change, from the one before it and the change's `delta` (RFC 1624, equation 3)."""
    return _swap(lib.checksum_update(_swap(before), _swap(change)))


def update_udp(before: int, change: int) -> int:
    """The same for UDP: 0, which says that there is no checksum, stays 0, and nothing else becomes 0."""
    return _swap(lib.checksum_update_udp(_swap(before), _swap(change)))


def _swap(word: int) -> int:
    """From this machine's byte order to the network's, and back."""
    return int.from_bytes(int(word).to_bytes(2, sys.byteorder), "big")
