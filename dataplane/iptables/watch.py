"""Noticing that somebody else may have changed our tables, without listing them.

    legacy   the kernel tells how many rules a table has, and how large it is
    nft      every commit moves the generation number of the namespace's nf_tables

Neither says what was changed, or that it was ours: that is for `audit`. A flushed table, which kube-proxy finds out
about by the loss of its canary chain in ``mangle``, shows at once.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from typing import Protocol, TypeAlias

from dataplane.iptables.chain import TABLES
from dataplane.netlink import attributes, messages
from dataplane.netlink.channel import Channel
from dataplane.table import Family

Fingerprint: TypeAlias = tuple[int, ...]
"""Two different ones: something was changed in between."""


class Watch(Protocol):
    """Looks at one family, in the namespace in which it was made."""

    def look(self) -> Fingerprint: ...

    def close(self) -> None: ...


def watch(variant: str, family: Family) -> Watch:
    """Raises OSError if the kernel cannot be asked."""
    return LegacyWatch(family) if variant == "legacy" else NftWatch()


_INFO = struct.Struct("=32s13I")  # struct ipt_getinfo of linux/netfilter_ipv4/ip_tables.h, and ip6t_getinfo
_GET_INFO = 64  # IPT_SO_GET_INFO, IP6T_SO_GET_INFO
_LEVELS = {Family.IPV4: (socket.AF_INET, socket.IPPROTO_IP), Family.IPV6: (socket.AF_INET6, socket.IPPROTO_IPV6)}

_libc = ctypes.CDLL(None, use_errno=True)


class LegacyWatch:
    """Asks for the size of each table. Asking makes the tables, so this is for who writes to them anyway."""

    def __init__(self, family: Family) -> None:
        domain, self._level = _LEVELS[family]
        self._socket = socket.socket(domain, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)

    def look(self) -> Fingerprint:
        return tuple(number for table in TABLES for number in self._size(table))

    def _size(self, table: str) -> tuple[int, int]:
        # Python's getsockopt hands nothing in, and this one must be told the table's name.
        buffer = ctypes.create_string_buffer(_INFO.pack(table.encode(), *[0] * 13), _INFO.size)
        length = ctypes.c_uint32(_INFO.size)
        if _libc.getsockopt(self._socket.fileno(), self._level, _GET_INFO, buffer, ctypes.byref(length)):
            code = ctypes.get_errno()
            raise OSError(code, f"table {table}: {os.strerror(code)}")
        _, *numbers = _INFO.unpack(buffer.raw)
        return numbers[-2], numbers[-1]

    def close(self) -> None:
        self._socket.close()


_GET_GENERATION = 0xA10  # NFT_MSG_GETGEN in the nftables subsystem
_GENERATION_ID = 1  # NFTA_GEN_ID


class NftWatch:
    """Asks for the generation number. Changes of other nftables rules move it too."""

    def __init__(self) -> None:
        self._channel = Channel()

    def look(self) -> Fingerprint:
        (answer,) = self._channel.request(_GET_GENERATION, messages.netfilter_body(socket.AF_UNSPEC, b""))
        found = attributes.parse(messages.netfilter_attributes(answer.body))
        return (attributes.number_of(found[_GENERATION_ID]),)

    def close(self) -> None:
        self._channel.close()
