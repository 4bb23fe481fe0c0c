"""What changes in a ForwardingTable, as the flat arrays that the engine takes (native/service.h, struct image).

Ten thousand Services are two hundred thousand structures, and Python makes one in about a microsecond. So they are made
from columns, in C (native/columns.c): here nothing is done for each backend but to list it.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Any

from dataplane.addresses import network
from dataplane.interface import DataplaneError
from dataplane.reference import answers_node_ports
from dataplane.table import (
    Backend,
    DetectLocal,
    Endpoint,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pick,
    Pool,
    Protocol,
    Reject,
    Verdict,
)
from dataplane.userspace.owners import Owners
from native.library import ffi, lib

# Without what is filled in from columns: the address and the family.
_FRONTEND = struct.Struct("=16x H B x IIII IBBxx IBBxx IBBxx I")
_POOL = struct.Struct("=IIIIII 8x")
_RANGE = struct.Struct("=16s16s")
_KEY = struct.Struct("=16s2sBB")

# Reading an attribute of the C library costs as much as packing a structure.
_FORWARD, _REJECT, _DROP = lib.SERVICE_FORWARD, lib.SERVICE_REJECT, lib.SERVICE_DROP
_ANYBODY, _NOWHERE = (lib.SERVICE_ANYBODY, 0), (0, 0)

_PICKS = {
    Pick.RANDOM: lib.SERVICE_RANDOM,
    Pick.ROUND_ROBIN: lib.SERVICE_ROUND_ROBIN,
    Pick.LEAST_CONNECTIONS: lib.SERVICE_LEAST_CONNECTIONS,
    Pick.MAGLEV: lib.SERVICE_MAGLEV,
}


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

    @property
    def remembers(self) -> bool:
        """Whether there is affinity in it."""
        return any(pool.affinity for frontend in self.frontends for pool in frontend.pools)

    def positions(self) -> Sequence[int]:
        """For each of `frontends` where the engine has put it."""
        return array("I", bytes(ffi.buffer(self.native.positions, 4 * len(self.frontends))))


def packed(address: str) -> bytes:
    """An address as sixteen bytes: native/tuple.h, struct address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address).ljust(16, b"\0")


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
    columns = _Columns(owners, pick)
    rows = b"".join(map(columns.frontend, frontends))
    native = ffi.new("struct image *")
    native.whole = whole
    native.pod_interfaces = interfaces = ffi.from_buffer("uint8_t[]", _pod_interfaces(around))
    native.positions = positions = ffi.new("uint32_t[]", max(len(frontends), 1))
    for number, family in enumerate(Family):
        _fill_family(native.families[number], columns, around, family)
    arrays = {
        "frontends": _frontends(rows, [f.key.address for f in frontends]),
        "gone": ffi.from_buffer("struct image_key[]", b"".join(map(_key, gone))),
        "pools": ffi.from_buffer("struct service_pool[]", b"".join(columns.pools)),
        "backends": _backends(columns.backends),
        "endpoints": _endpoints(columns.endpoints),
        "ranges": ffi.from_buffer("struct service_range[]", b"".join(columns.ranges)),
        "addresses": _addresses(roles),
    }
    for name, view in arrays.items():
        setattr(native, name, view)
        setattr(native.counts, name, len(view))
    return Image(native, (interfaces, positions, *arrays.values()), frontends, whole)


def _number(protocol: Protocol) -> int:
    # Comparing what they are is much cheaper than asking an enumeration for its hash.
    return 6 if protocol is Protocol.TCP else 17 if protocol is Protocol.UDP else 132


def _key(key: FrontendKey) -> bytes:
    return _KEY.pack(packed(key.address), key.port.to_bytes(2, "big"), _number(key.protocol), key.family)


class _Columns:
    """What frontends refer to, gathered while their rows are made."""

    def __init__(self, owners: Owners, pick: Pick) -> None:
        self._owners, self._pick = owners, pick
        self.pools: list[bytes] = []
        self.backends: list[tuple[Backend, ...]] = []
        self._backend_count = 0
        self.endpoints: list[Collection[Endpoint]] = []
        self._endpoint_count = 0
        self.ranges: list[bytes] = []
        self._pool_positions: dict[tuple[int, str], int] = {}
        self._endpoint_pieces: dict[int, tuple[int, int]] = {}
        self._range_pieces: dict[tuple[str, ...], tuple[int, int]] = {}

    def frontend(self, frontend: Frontend) -> bytes:
        (_, protocol, port), service = frontend.key, frontend.service
        pod, node, outside = frontend.pod, frontend.node, frontend.outside
        for_pod = self._verdict(pod, service)
        for_node = for_pod if node is pod else self._verdict(node, service)
        sources = frontend.sources
        return _FRONTEND.pack(
            port,
            _number(protocol),
            *(_ANYBODY if sources is None else self.piece_of_ranges(sources, frontend.key.family)),
            *(self._piece_of_endpoints(frontend.serving) if frontend.serving else _NOWHERE),
            *for_pod,
            *for_node,
            *(for_pod if outside is pod else for_node if outside is node else self._verdict(outside, service)),
            frontend.serving is not None,
        )

    def piece_of_ranges(self, networks: Iterable[str], family: Family) -> tuple[int, int]:
        mine = tuple(sorted(n for n in networks if Family.of(n) is family))
        if mine not in self._range_pieces:
            ranges = [
                _RANGE.pack(packed(str(n.network_address)), packed(str(n.broadcast_address))) for n in _disjoint(mine)
            ]
            self._range_pieces[mine] = (len(self.ranges), len(ranges))
            self.ranges += ranges
        return self._range_pieces[mine]

    def _verdict(self, verdict: Verdict, service: str) -> tuple[int, int, bool]:
        if isinstance(verdict, Forward):
            key = (id(verdict.pool), service)
            position = self._pool_positions.get(key)
            if position is None:
                position = self._pool_positions[key] = self._add_pool(verdict.pool, service)
            return position, _FORWARD, verdict.masquerade
        return 0, _REJECT if isinstance(verdict, Reject) else _DROP, False

    def _add_pool(self, pool: Pool, service: str) -> int:
        affinity, seconds, count = 0, 0, len(pool.backends)
        if pool.affinity:
            affinity = self._owners.number_of_affinity(pool.affinity.name, Family.of(pool.backends[0].address))
            seconds = pool.affinity.seconds
        pick = (pool.pick or self._pick) if count > 1 else Pick.RANDOM
        owner = self._owners.number_of(service)
        self.pools.append(_POOL.pack(self._backend_count, count, owner, affinity, seconds, _PICKS[pick]))
        self.backends.append(pool.backends)
        self._backend_count += count
        return len(self.pools) - 1

    def _piece_of_endpoints(self, serving: frozenset[Endpoint]) -> tuple[int, int]:
        piece = self._endpoint_pieces.get(id(serving))
        if piece is None:
            piece = self._endpoint_pieces[id(serving)] = (self._endpoint_count, len(serving))
            self.endpoints.append(serving)
            self._endpoint_count += len(serving)
        return piece


def _frontends(rows: bytes, addresses: Sequence[str]) -> Any:
    made = ffi.new("struct service_frontend[]", len(addresses))
    ffi.memmove(made, rows, len(rows))
    _fill(lib.columns_frontends, made, addresses)
    return made


def _backends(pools: Iterable[tuple[Backend, ...]]) -> Any:
    width = len(Backend._fields)
    flat: list[Any] = list(chain.from_iterable(chain.from_iterable(pools)))
    addresses, ports, local, weights = (flat[at::width] for at in range(width))
    made = ffi.new("struct service_backend[]", len(addresses))
    _fill(lib.columns_backends, made, addresses, array("H", ports), bytes(local), bytes(weights))
    return made


def _endpoints(pieces: Iterable[Collection[Endpoint]]) -> Any:
    flat: list[Any] = list(chain.from_iterable(chain.from_iterable(pieces)))
    made = ffi.new("struct service_endpoint[]", len(flat) // 2)
    _fill(lib.columns_endpoints, made, flat[0::2], array("H", flat[1::2]))
    return made


def _addresses(roles: Mapping[str, int]) -> Any:
    made = ffi.new("struct service_address[]", len(roles))
    _fill(lib.columns_addresses, made, list(roles), bytes(roles.values()))
    return made


def _fill(fill: Callable[..., bool], into: Any, addresses: Sequence[str], *columns: bytes | array[int]) -> None:
    text = "\n".join((*addresses, "")).encode()
    views = [ffi.from_buffer("uint16_t[]" if isinstance(c, array) else "uint8_t[]", c) for c in columns]
    if not fill(into, len(addresses), text, len(text), *views):
        raise DataplaneError(f"expected IPv4 or IPv6 addresses, got {next(filter(_is_none, addresses), 'others')!r}")


def _is_none(address: str) -> bool:
    try:
        packed(address)
    except (OSError, ValueError):
        return True
    return False


def _fill_family(native: Any, columns: _Columns, around: Surroundings, family: Family) -> None:
    pods = around.table.detect_local.network(family)
    egress = around.host.egress.get(family)
    native.cidrs_first, native.cidrs_count = columns.piece_of_ranges(around.table.service_cidrs, family)
    native.pods_first, native.pods_count = columns.piece_of_ranges((pods,) if pods else (), family)
    if egress is not None:
        native.egress.bytes = packed(egress)
        native.can_masquerade = 1


def _disjoint(networks: tuple[str, ...]) -> Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The same addresses in networks sorted and apart from each other. All of one family."""
    known = [network(n) for n in networks]
    return ipaddress.collapse_addresses(known)  # type: ignore[type-var]  # which never mixes the two


def _pod_interfaces(around: Surroundings) -> bytes:
    """By number: 1 where what comes in is from a local pod. Number 0 is the host itself."""
    rule: DetectLocal = around.table.detect_local
    flags = bytearray(lib.SERVICE_INTERFACES)
    for number, name in enumerate(around.interfaces, start=1):
        flags[number] = bool(rule.interface) and (
            name.startswith(rule.interface) if rule.prefix else name == rule.interface
        )
    return bytes(flags)
