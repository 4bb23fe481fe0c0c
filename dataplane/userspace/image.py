"""What changes in a ForwardingTable, as the engine takes it: native/image.h, struct image."""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from dataplane.reference import answers_node_ports
from dataplane.table import (
    DetectLocal,
    Family,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pick,
)
from dataplane.userspace.columns import Columns, addresses_of, packed
from dataplane.userspace.owners import Owners
from native.library import ffi, lib

_KEY = struct.Struct("=16s2sBB")


@dataclass(frozen=True, slots=True)
class Host:
    """What an engine has to know of the node besides the table.

    `addresses` are all addresses of its interfaces, loopback ones too; `egress` holds per family the one that
    masqueraded connections get.
    """

    addresses: frozenset[str] = frozenset()
    egress: Mapping[Family, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that counts besides frontends: the rest of the table, the host, and the names of its interfaces."""

    table: ForwardingTable
    host: Host
    interfaces: tuple[str, ...] = ()

    def roles(self, addresses: Iterable[str]) -> dict[str, int]:
        """What these addresses are to the engine: bits SERVICE_..."""
        return {address: self._role(address) for address in addresses}

    def all_roles(self) -> dict[str, int]:
        roles = dict.fromkeys(self.table.cluster_ips, lib.SERVICE_CLUSTER_IP)
        return roles | self.roles(self.table.node_addresses | self.host.addresses)

    def _role(self, address: str) -> int:
        role = 0
        if address in self.table.cluster_ips:
            role |= lib.SERVICE_CLUSTER_IP
        if address in self.host.addresses:
            role |= lib.SERVICE_HOST
        if answers_node_ports(self.table, address, self.host.addresses):
            role |= lib.SERVICE_ANSWERS_NODE_PORTS
        return role


@dataclass(frozen=True, slots=True)
class Image:
    """What the engine loads. `native` needs `keep_alive` as long as it is used."""

    native: Any
    keep_alive: Sequence[Any]
    frontends: Sequence[Frontend]
    whole: bool
    remembers: bool  #: whether there is affinity in it

    def positions(self) -> Sequence[int]:
        """For each of `frontends` where the engine has put it."""
        return array("I", bytes(ffi.buffer(self.native.positions, 4 * len(self.frontends))))


def unpacked(address: bytes, family: Family) -> str:
    """The address in sixteen bytes, in canonical form."""
    if family is Family.IPV6:
        return socket.inet_ntop(socket.AF_INET6, address)
    return socket.inet_ntop(socket.AF_INET, address[:4])


def encode(
    frontends: Sequence[Frontend],
    gone: Iterable[FrontendKey],
    roles: Mapping[str, int],
    around: Surroundings,
    owners: Owners,
    pick: Pick,
    *,
    whole: bool,
) -> Image:
    """Frontends that come or change, keys of those that go, and addresses with what they are from now on.

    DataplaneError if an address is none.
    """
    columns = Columns(owners, pick)
    native = ffi.new("struct image *")
    native.whole = whole
    native.pod_interfaces = interfaces = ffi.from_buffer("uint8_t[]", _pod_interfaces(around))
    native.positions = positions = ffi.new("uint32_t[]", max(len(frontends), 1))
    for number, family in enumerate(Family):
        _fill_family(native.families[number], columns, around, family)
    arrays = {
        **columns.made_of(frontends),
        "gone": ffi.from_buffer("struct image_key[]", b"".join(map(_key, gone))),
        "addresses": addresses_of(roles),
    }
    for name, view in arrays.items():
        setattr(native, name, view)
        setattr(native.counts, name, len(view))
    return Image(native, (interfaces, positions, *arrays.values()), frontends, whole, columns.remembers)


def _key(key: FrontendKey) -> bytes:
    return _KEY.pack(packed(key.address), key.port.to_bytes(2, "big"), key.protocol.number, key.family)


def _fill_family(native: Any, columns: Columns, around: Surroundings, family: Family) -> None:
    pods = around.table.detect_local.network(family)
    egress = around.host.egress.get(family)
    native.cidrs_first, native.cidrs_count = columns.piece_of_ranges(around.table.service_cidrs, family)
    native.pods_first, native.pods_count = columns.piece_of_ranges((pods,) if pods else (), family)
    if egress is not None:
        native.egress.bytes = packed(egress)
        native.can_masquerade = 1


def _pod_interfaces(around: Surroundings) -> bytes:
    """By number: 1 where what comes in is from a local pod. Number 0 is the host itself."""
    rule: DetectLocal = around.table.detect_local
    flags = bytearray(lib.SERVICE_INTERFACES)
    for number, name in enumerate(around.interfaces, start=1):
        flags[number] = bool(rule.interface) and (
            name.startswith(rule.interface) if rule.prefix else name == rule.interface
        )
    return bytes(flags)
