"""A ForwardingTable as the flat arrays that the engine loads (native/service.h).

What refers to something else does so by its position in another array, so an image means the same wherever it
lies. Pools are encoded once and remembered as long as a table has them: `controller.compile` gives the same object
again for what did not change.
"""

from __future__ import annotations

import ipaddress
import math
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from dataplane.addresses import network
from dataplane.interface import DataplaneError
from dataplane.reference import answers_node_ports
from dataplane.table import (
    Backend,
    DetectLocal,
    Drop,
    Endpoint,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    Pick,
    Pool,
    Protocol,
    Verdict,
)
from dataplane.userspace.slots import Slots
from native.library import lib

_FRONTEND = struct.Struct("=16s2sBB IIII IBBxx IBBxx IBBxx I")
_POOL = struct.Struct("=IIIII")
_BACKEND = struct.Struct("=16s2sBB III")
_ENDPOINT = struct.Struct("=16s2sxx")
_RANGE = struct.Struct("=16s16s")
_ADDRESS = struct.Struct("=16sBBxx")

# Reading an attribute of the C library costs as much as packing a structure.
_FORWARD, _REJECT, _DROP, _ANYBODY = lib.SERVICE_FORWARD, lib.SERVICE_REJECT, lib.SERVICE_DROP, lib.SERVICE_ANYBODY

_PROTOCOLS = {protocol: protocol.number for protocol in Protocol}
_PICKS = {
    Pick.RANDOM: lib.SERVICE_RANDOM,
    Pick.ROUND_ROBIN: lib.SERVICE_ROUND_ROBIN,
    Pick.LEAST_CONNECTIONS: lib.SERVICE_LEAST_CONNECTIONS,
    Pick.MAGLEV: lib.SERVICE_MAGLEV,
}
_NOWHERE = (0, 0)


@dataclass(frozen=True, slots=True)
class Host:
    """What an engine has to know of the node besides the table.

    `addresses` are all addresses of its interfaces, loopback ones too; `egress` holds per family the one that
    masqueraded connections get.
    """

    addresses: frozenset[str] = frozenset()
    egress: Mapping[Family, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class FamilyImage:
    """What there is once for each family: (first, count) of its ranges, and the address to masquerade with."""

    service_cidrs: tuple[int, int]
    pods: tuple[int, int]
    egress: bytes | None


@dataclass(slots=True)
class Image:
    """One table, ready to be loaded. `frontend_list` and `backend_list` tell what a position means."""

    frontends: bytes
    pools: bytes
    backends: bytes
    endpoints: bytes
    ranges: bytes
    addresses: bytes
    families: tuple[FamilyImage, FamilyImage]
    pod_interfaces: bytes
    maglevs: int
    frontend_list: Sequence[Frontend]
    backend_list: Sequence[Backend]
    held: Mapping[tuple[int, str], EncodedPool]


@dataclass(slots=True)
class EncodedPool:
    """A pool's backends as bytes, and the keys whose numbers they need.

    The pool itself is kept so that its identity cannot become another's.
    """

    pool: Pool
    tallies: Sequence[TallyKey]
    members: Sequence[MemberKey]
    affinities: Sequence[AffinityKey]
    backends: bytes = b""
    affinity: int = 0


TallyKey = tuple[str, str, int]
"""What is counted apart: (service port, address, port)."""

MemberKey = tuple[str, str, int]
"""What affinity tells apart: (name of the memory, address, port)."""

AffinityKey = tuple[str, Family]
"""Whose memory it is."""


def packed(address: str) -> bytes:
    """An address as sixteen bytes: native/tuple.h, struct address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address).ljust(16, b"\0")


def unpacked(address: bytes, family: Family) -> str:
    """The address in sixteen bytes, in canonical form."""
    if family is Family.IPV6:
        return socket.inet_ntop(socket.AF_INET6, address)
    return socket.inet_ntop(socket.AF_INET, address[:4])


class Encoder:
    """Makes images of tables, one after the other; numbers stay with what they were given to.

    After `encode`, call `keep` if the engine has taken the image, or `discard` if it has not.
    """

    def __init__(
        self, tallies: int, members: int, pick: Pick, busy: Callable[[int], bool], recycled: Callable[[int], None]
    ) -> None:
        """At most so many tallies and members; `busy` and `recycled` are asked and told about tallies."""
        self._pick = pick
        self.tallies: Slots[TallyKey] = Slots("backends", 0, tallies, busy, recycled)
        # 0 stands for "no affinity".
        self._members: Slots[MemberKey] = Slots("backends with affinity", 1, members)
        self._affinities: Slots[AffinityKey] = Slots("service ports with affinity", 1, members)
        self._held: Mapping[tuple[int, str], EncodedPool] = {}

    @property
    def member_end(self) -> int:
        return self._members.end

    def numbers_of(self, name: str, family: Family, backend: Endpoint) -> tuple[int, int] | None:
        """What the engine calls an affinity and one of its backends; None if the table in force has them not."""
        affinity = self._affinities.number((name, family))
        member = self._members.number((name, backend.address, backend.port))
        return None if affinity is None or member is None else (affinity, member)

    def meaning_of(self, affinity: int, member: int) -> tuple[str, Family, Endpoint]:
        """The reverse, for numbers that the engine still uses."""
        name, family = self._affinities.key(affinity)
        _, address, port = self._members.key(member)
        return name, family, Endpoint(address, port)

    def encode(self, table: ForwardingTable, host: Host, interfaces: Sequence[str]) -> Image:
        """The image of a table. `interfaces` are those that packets come in on, in the order of their numbers."""
        held: dict[tuple[int, str], EncodedPool] = {}
        try:
            assembly = _Assembly(table, host, interfaces, self._pick, lambda p, s: self._pool(p, s, held))
            return assembly.image(held)
        except BaseException:
            self._release(held, without=self._held)
            raise

    def keep(self, image: Image) -> None:
        """The engine has taken this image: what only the one before needed is free."""
        self._held, before = image.held, self._held
        self._release(before, without=image.held)

    def discard(self, image: Image) -> None:
        """The engine has refused this image: all is as before."""
        self._release(image.held, without=self._held)

    def _pool(self, pool: Pool, service: str, held: dict[tuple[int, str], EncodedPool]) -> EncodedPool:
        key = (id(pool), service)
        encoded = held.get(key) or self._held.get(key)
        if encoded is None:
            encoded = self._encode_pool(pool, service)
        held[key] = encoded
        return encoded

    def _encode_pool(self, pool: Pool, service: str) -> EncodedPool:
        family = Family.of(pool.backends[0].address)
        name = pool.affinity.name if pool.affinity else None
        encoded = EncodedPool(
            pool,
            tallies=[(service, b.address, b.port) for b in pool.backends],
            members=[(name, b.address, b.port) for b in pool.backends] if name is not None else (),
            affinities=[(name, family)] if name is not None else (),
        )
        numbers: list[list[int]] = []
        try:
            for slots, keys in self._slots_of(encoded):
                numbers.append(slots.take(keys) if keys else [])
        except DataplaneError:
            for slots, keys in self._slots_of(encoded)[: len(numbers)]:
                slots.give_back(keys)
            raise
        tallies, members, affinities = numbers
        encoded.backends = _backends(pool, family, tallies, members or [0] * len(tallies))
        encoded.affinity = affinities[0] if affinities else 0
        return encoded

    def _release(self, held: Mapping[tuple[int, str], EncodedPool], without: Mapping[tuple[int, str], object]) -> None:
        for key, encoded in held.items():
            if key not in without:
                for slots, keys in self._slots_of(encoded):
                    slots.give_back(keys)

    def _slots_of(self, encoded: EncodedPool) -> tuple[tuple[Slots[Any], Sequence[Any]], ...]:
        return (
            (self.tallies, encoded.tallies),
            (self._members, encoded.members),
            (self._affinities, encoded.affinities),
        )


def _backends(pool: Pool, family: Family, tallies: Sequence[int], members: Sequence[int]) -> bytes:
    step = math.gcd(*(backend.weight for backend in pool.backends))
    return b"".join(
        _BACKEND.pack(packed(address), port.to_bytes(2, "big"), family, local, tally, member, weight // step)
        for (address, port, local, weight), tally, member in zip(pool.backends, tallies, members, strict=True)
    )


class _Assembly:
    """One table on its way to an image."""

    def __init__(
        self,
        table: ForwardingTable,
        host: Host,
        interfaces: Sequence[str],
        pick: Pick,
        encode_pool: Callable[[Pool, str], EncodedPool],
    ) -> None:
        self._pick, self._maglevs = pick, 0
        self._table, self._host, self._interfaces, self._encode_pool = table, host, interfaces, encode_pool
        self._pools: dict[tuple[int, str], int] = {}
        self._pool_parts: list[bytes] = []
        self._backend_parts: list[bytes] = []
        self._backend_list: list[Backend] = []
        self._ranges: list[bytes] = []
        self._range_pieces: dict[tuple[str, ...], tuple[int, int]] = {}
        self._endpoints: list[bytes] = []
        self._endpoint_pieces: dict[frozenset[Endpoint], tuple[int, int]] = {frozenset(): _NOWHERE}

    def image(self, held: Mapping[tuple[int, str], EncodedPool]) -> Image:
        frontends = list(self._table.frontends.values())
        return Image(
            frontends=b"".join(map(self._frontend, frontends)),
            families=(self._family(Family.IPV4), self._family(Family.IPV6)),
            pools=b"".join(self._pool_parts),
            backends=b"".join(self._backend_parts),
            endpoints=b"".join(self._endpoints),
            ranges=b"".join(self._ranges),
            addresses=self._addresses(),
            pod_interfaces=_pod_interfaces(self._table.detect_local, self._interfaces),
            maglevs=self._maglevs,
            frontend_list=frontends,
            backend_list=self._backend_list,
            held=held,
        )

    def _frontend(self, frontend: Frontend) -> bytes:
        key, service, family = frontend.key, frontend.service, frontend.key.family
        sources = (_ANYBODY, 0) if frontend.sources is None else self._piece_of_ranges(frontend.sources, family)
        return _FRONTEND.pack(
            packed(key.address),
            key.port.to_bytes(2, "big"),
            _PROTOCOLS[key.protocol],
            family,
            *sources,
            *self._piece_of_endpoints(frontend.serving or frozenset()),
            *self._verdict(frontend.pod, service),
            *self._verdict(frontend.node, service),
            *self._verdict(frontend.outside, service),
            frontend.serving is not None,
        )

    def _verdict(self, verdict: Verdict, service: str) -> tuple[int, int, bool]:
        if isinstance(verdict, Forward):
            return self._pool(verdict.pool, service), _FORWARD, verdict.masquerade
        return 0, _DROP if isinstance(verdict, Drop) else _REJECT, False

    def _pool(self, pool: Pool, service: str) -> int:
        key = (id(pool), service)
        position = self._pools.get(key)
        if position is None:
            encoded = self._encode_pool(pool, service)
            seconds = pool.affinity.seconds if pool.affinity else 0
            position = self._pools[key] = len(self._pool_parts)
            pick = (pool.pick or self._pick) if len(pool.backends) > 1 else Pick.RANDOM
            self._maglevs += pick is Pick.MAGLEV
            self._pool_parts.append(
                _POOL.pack(len(self._backend_list), len(pool.backends), encoded.affinity, seconds, _PICKS[pick])
            )
            self._backend_parts.append(encoded.backends)
            self._backend_list.extend(pool.backends)
        return position

    def _piece_of_ranges(self, networks: Iterable[str], family: Family) -> tuple[int, int]:
        mine = tuple(sorted(n for n in networks if Family.of(n) is family))
        if mine not in self._range_pieces:
            ranges = [
                _RANGE.pack(packed(str(n.network_address)), packed(str(n.broadcast_address))) for n in _disjoint(mine)
            ]
            self._range_pieces[mine] = (len(self._ranges), len(ranges))
            self._ranges += ranges
        return self._range_pieces[mine]

    def _piece_of_endpoints(self, serving: frozenset[Endpoint]) -> tuple[int, int]:
        if serving not in self._endpoint_pieces:
            endpoints = sorted(_ENDPOINT.pack(packed(e.address), e.port.to_bytes(2, "big")) for e in serving)
            self._endpoint_pieces[serving] = (len(self._endpoints), len(endpoints))
            self._endpoints += endpoints
        return self._endpoint_pieces[serving]

    def _family(self, family: Family) -> FamilyImage:
        pods = self._table.detect_local.network(family)
        egress = self._host.egress.get(family)
        return FamilyImage(
            service_cidrs=self._piece_of_ranges(self._table.service_cidrs, family),
            pods=self._piece_of_ranges((pods,) if pods else (), family),
            egress=packed(egress) if egress else None,
        )

    def _addresses(self) -> bytes:
        roles = dict.fromkeys(self._table.cluster_ips, lib.SERVICE_CLUSTER_IP)
        for address in self._table.node_addresses | self._host.addresses:
            role = 0
            if address in self._host.addresses:
                role |= lib.SERVICE_HOST
            if answers_node_ports(self._table, address, self._host.addresses):
                role |= lib.SERVICE_ANSWERS_NODE_PORTS
            roles[address] = roles.get(address, 0) | role
        return b"".join(_ADDRESS.pack(packed(a), Family.of(a), role) for a, role in roles.items())


def _disjoint(networks: tuple[str, ...]) -> Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The same addresses in networks sorted and apart from each other. All of one family."""
    known = [network(n) for n in networks]
    return ipaddress.collapse_addresses(known)  # type: ignore[type-var]  # which never mixes the two


def _pod_interfaces(rule: DetectLocal, interfaces: Sequence[str]) -> bytes:
    """By number: 1 where what comes in is from a local pod. Number 0 is the host itself."""
    flags = bytearray(lib.SERVICE_INTERFACES)
    for number, name in enumerate(interfaces, start=1):
        flags[number] = bool(rule.interface) and (
            name.startswith(rule.interface) if rule.prefix else name == rule.interface
        )
    return bytes(flags)
