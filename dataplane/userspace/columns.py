"""Frontends and all that they refer to, as columns of values of which C makes structures (native/columns.c).

Ten thousand Services are two hundred thousand objects, and to look at one takes Python about a microsecond. So nothing
here looks at one: each step is a call for a whole column, and the loop is inside of it. What several refer to, the same
object, is there once, and known by its number.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from operator import attrgetter
from typing import Any, TypeVar

from dataplane.addresses import network
from dataplane.interface import DataplaneError
from dataplane.table import (
    Backend,
    Drop,
    Endpoint,
    Family,
    Forward,
    Frontend,
    FrontendKey,
    Pick,
    Pool,
    Protocol,
    Reject,
)
from dataplane.userspace.owners import Owners
from native.library import ffi, lib

_T = TypeVar("_T")

_RANGE = struct.Struct("=16s16s")
_PROTOCOLS = {protocol: protocol.number for protocol in Protocol}
_ACTIONS = {Forward: lib.SERVICE_FORWARD, Reject: lib.SERVICE_REJECT, Drop: lib.SERVICE_DROP}
_PICKS: dict[Pick | None, int] = {
    Pick.RANDOM: lib.SERVICE_RANDOM,
    Pick.ROUND_ROBIN: lib.SERVICE_ROUND_ROBIN,
    Pick.LEAST_CONNECTIONS: lib.SERVICE_LEAST_CONNECTIONS,
    Pick.MAGLEV: lib.SERVICE_MAGLEV,
}


def packed(address: str) -> bytes:
    """An address as sixteen bytes: native/tuple.h, struct address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address).ljust(16, b"\0")


class Columns:
    """Frontends, pools, backends, endpoints and ranges of an image, as C's arrays: see native/image.h.

    What is asked of it comes in the order below; DataplaneError if an address is none.
    """

    def __init__(self, owners: Owners, pick: Pick) -> None:
        """`pick` is for the pools that ask for none."""
        self._owners, self._pick = owners, pick
        self._ranges: list[bytes] = []
        self._range_pieces: dict[tuple[str, ...], tuple[int, int]] = {}
        self.remembers = False  #: whether there is affinity in it

    def piece_of_ranges(self, networks: Iterable[str], family: Family) -> tuple[int, int]:
        """Where the ranges of those networks that are of this family are: the first, and how many."""
        mine = tuple(sorted(n for n in networks if Family.of(n) is family))
        if mine not in self._range_pieces:
            ranges = [
                _RANGE.pack(packed(str(n.network_address)), packed(str(n.broadcast_address))) for n in _disjoint(mine)
            ]
            self._range_pieces[mine] = (len(self._ranges), len(ranges))
            self._ranges += ranges
        return self._range_pieces[mine]

    def made_of(self, frontends: Sequence[Frontend]) -> dict[str, Any]:
        """The arrays by their names in struct image."""
        keys, services, sources, servings = _columns(frontends, ("key", "service", "sources", "serving"))
        addresses, protocols, ports = _columns(keys, FrontendKey._fields)
        owners = array("Q", self._owners.numbers_of(services))
        first_services, service_numbers = _numbered_words(owners)
        distinct_servings, serving_numbers = _numbered(servings)
        distinct_verdicts, verdict_numbers = _numbered([*chain(*_columns(frontends, ("pod", "node", "outside")))])
        forwards = [v for v in distinct_verdicts if isinstance(v, Forward)]
        pools, pool_numbers = _numbered([forward.pool for forward in forwards])
        of_forward = iter(ffi.unpack(pool_numbers, len(forwards)))
        text = _text(addresses)
        made = ffi.new("struct service_frontend[]", len(frontends))
        pools_made = ffi.new("struct service_pool[]", 3 * len(frontends))
        columns, keep_alive = _structure(
            "struct columns *",
            count=len(frontends),
            length=len(text),
            addresses=text,
            ports=array("H", ports),
            protocols=bytes(map(_PROTOCOLS.__getitem__, protocols)),
            services=service_numbers,
            sources=self._pieces_of_sources(keys, sources),
            servings=serving_numbers,
            verdicts=verdict_numbers,
            owners=array("I", map(owners.__getitem__, first_services)),
            serving_firsts=_firsts(serving or () for serving in distinct_servings),
            serving_ends=bytes(serving is not None for serving in distinct_servings),
            actions=bytes(map(_ACTIONS.__getitem__, map(type, distinct_verdicts))),
            masquerades=bytes(isinstance(v, Forward) and v.masquerade for v in distinct_verdicts),
            pools=array("I", [next(of_forward) if isinstance(v, Forward) else 0 for v in distinct_verdicts]),
            **self._columns_of_pools(pools),
            places=ffi.new("struct columns_place[]", 3 * len(frontends)),
            newest=ffi.new("uint32_t[]", len(first_services)),
        )
        _check(lib.columns_frontends(columns, made, pools_made), addresses)
        del keep_alive
        bytes_of_pools = columns.pool_count * ffi.sizeof("struct service_pool")
        return {
            "frontends": made,
            "pools": ffi.from_buffer("struct service_pool[]", ffi.buffer(pools_made, bytes_of_pools)),
            "backends": _backends(pool.backends for pool in pools),
            "endpoints": _endpoints(filter(None, distinct_servings)),
            "ranges": ffi.from_buffer("struct service_range[]", b"".join(self._ranges)),
        }

    def _pieces_of_sources(self, keys: Sequence[Any], sources: Sequence[tuple[str, ...] | None]) -> array[int]:
        pieces = array("I", (lib.SERVICE_ANYBODY, 0)) * len(sources)
        for at, networks in enumerate(sources):
            if networks is not None:
                pieces[2 * at], pieces[2 * at + 1] = self.piece_of_ranges(networks, keys[at].family)
        return pieces

    def _columns_of_pools(self, pools: Sequence[Pool]) -> dict[str, Any]:
        picks = {**_PICKS, None: _PICKS[self._pick]}
        backends, affinities, asked = _columns(pools, ("backends", "affinity", "pick"))
        numbers, seconds = array("I", bytes(4 * len(pools))), array("I", bytes(4 * len(pools)))
        for at, affinity in enumerate(affinities):
            if affinity is not None:
                family = Family.of(backends[at][0].address)
                numbers[at] = self._owners.number_of_affinity(affinity.name, family)
                seconds[at] = affinity.seconds
                self.remembers = True
        return {
            "pool_firsts": _firsts(backends),
            "affinities": numbers,
            "seconds": seconds,
            "picks": bytes(map(picks.__getitem__, asked)),
        }


def addresses_of(roles: Mapping[str, int]) -> Any:
    """Addresses with what they are: struct service_address[]. DataplaneError if one is none."""
    made, text = ffi.new("struct service_address[]", len(roles)), _text(roles)
    _check(lib.columns_addresses(made, len(roles), text, len(text), bytes(roles.values())), roles)
    return made


def _backends(pools: Iterable[tuple[Backend, ...]]) -> Any:
    width = len(Backend._fields)
    flat: list[Any] = list(chain.from_iterable(chain.from_iterable(pools)))
    addresses, ports, local, weights = (flat[at::width] for at in range(width))
    made, text = ffi.new("struct service_backend[]", len(addresses)), _text(addresses)
    ports_of = ffi.from_buffer("uint16_t[]", array("H", ports))
    _check(
        lib.columns_backends(made, len(addresses), text, len(text), ports_of, bytes(local), bytes(weights)), addresses
    )
    return made


def _endpoints(pieces: Iterable[Iterable[Endpoint]]) -> Any:
    flat: list[Any] = list(chain.from_iterable(chain.from_iterable(pieces)))
    addresses = flat[0::2]
    made, text = ffi.new("struct service_endpoint[]", len(addresses)), _text(addresses)
    ports_of = ffi.from_buffer("uint16_t[]", array("H", flat[1::2]))
    _check(lib.columns_endpoints(made, len(addresses), text, len(text), ports_of), addresses)
    return made


def _columns(rows: Sequence[Any], names: Iterable[str]) -> list[list[Any]]:
    """An attribute of each row, for each of these attributes."""
    return [list(map(attrgetter(name), rows)) for name in names]


def _numbered(things: Sequence[_T]) -> tuple[list[_T], Any]:
    """The distinct objects, in the order in which they are first met, and for each of all its number among them."""
    firsts, numbers = _numbered_words(array("Q", map(id, things)))
    return list(map(things.__getitem__, firsts)), numbers


def _numbered_words(words: array[int]) -> tuple[list[int], Any]:
    """Where each number is first met, and the numbers: uint32_t[]."""
    numbers, firsts = ffi.new("uint32_t[]", len(words)), ffi.new("uint32_t[]", len(words))
    slots = ffi.new("uint32_t[]", 2 << len(words).bit_length())
    view = ffi.from_buffer("uint64_t[]", words)
    distinct = lib.columns_number(view, len(words), numbers, firsts, slots, len(slots))
    return ffi.unpack(firsts, distinct), numbers


def _firsts(pieces: Iterable[Any]) -> array[int]:
    """Where each of the pieces begins that lie one after the other, and where the last one ends."""
    return array("I", accumulate(map(len, pieces), initial=0))


def _structure(kind: str, **values: Any) -> tuple[Any, list[Any]]:
    """A structure of numbers, and of pointers to arrays and bytes; and what must be kept as long as it is used."""
    types = {"I": "uint32_t[]", "H": "uint16_t[]"}
    views: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, array):
            views[name] = ffi.from_buffer(types[value.typecode], value)
        elif isinstance(value, bytes):
            views[name] = ffi.from_buffer("char[]" if name == "addresses" else "uint8_t[]", value)
        else:
            views[name] = value
    return ffi.new(kind, views), [views, values]


def _text(addresses: Iterable[str]) -> bytes:
    return "\n".join((*addresses, "")).encode()


def _check(good: bool, addresses: Iterable[str]) -> None:
    if not good:
        raise DataplaneError(f"expected IPv4 or IPv6 addresses, got {next(filter(_is_none, addresses), 'others')!r}")


def _is_none(address: str) -> bool:
    try:
        packed(address)
    except (OSError, ValueError):
        return True
    return False


def _disjoint(networks: tuple[str, ...]) -> Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The same addresses in networks sorted and apart from each other. All of one family."""
    known = [network(n) for n in networks]
    return ipaddress.collapse_addresses(known)  # type: ignore[type-var]  # which never mixes the two
