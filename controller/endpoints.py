"""From the EndpointSlices of one Service to the endpoints of each of its ports.

A Service's endpoints come in any number of slices, which may overlap while the slice controller moves
endpoints between them. Here they become one list per port: each (address, port) once, in a fixed order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from controller.annotations import weight_of
from controller.objects import EndpointSlice, SliceEndpoint
from dataplane.addresses import canonical_address
from dataplane.table import Endpoint, Family

PortKey: TypeAlias = tuple[str, str]  #: (port name, protocol): what joins a Service's port with its endpoints


class Candidate(NamedTuple):
    """One endpoint of a service port, before anything is decided about it.

    The conditions are as discovery.k8s.io/v1 defines them, with unset ones filled in: `ready` and `serving`
    true, `terminating` false. `about` is the slice's own entry, `weight` that of its slice.
    """

    address: str
    port: int
    ready: bool
    serving: bool
    terminating: bool
    about: SliceEndpoint
    weight: int = 1

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.address, self.port)

    @property
    def zones(self) -> frozenset[str]:
        """The zones that this endpoint is meant for (``hints.forZones``); empty if it is not hinted."""
        hints = self.about.hints
        return frozenset(z.name for z in hints.for_zones) if hints and hints.for_zones else frozenset()

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes that this endpoint is meant for (``hints.forNodes``); empty if it is not hinted."""
        hints = self.about.hints
        return frozenset(n.name for n in hints.for_nodes) if hints and hints.for_nodes else frozenset()

    @property
    def draining(self) -> bool:
        """On its way out, but still answering: the last resort when nothing is ready."""
        return not self.ready and self.serving and self.terminating

    def is_on(self, node: str) -> bool:
        return bool(node) and self.about.node_name == node

    def rank(self) -> tuple[bool, bool, bool]:
        """Of two entries for the same endpoint the greater one is believed: the slice that still means it."""
        return (not self.terminating, self.ready, self.serving)


Candidates: TypeAlias = Mapping[PortKey, tuple[Candidate, ...]]


def endpoints_by_port(slices: Iterable[EndpointSlice], family: Family) -> Candidates:
    """Every endpoint of one family, by port, sorted bytewise by ``address:port``.

    Skipped, as kube-proxy does: slices of other address types, ports without name or number, entries
    without a readable address. Only an entry's first address counts. The order of the slices does not matter:
    of two entries that are equally believable, the slice whose name comes first has the better one.
    """
    found: dict[PortKey, dict[tuple[str, int], Candidate]] = {}
    for piece in sorted(slices, key=_by_name):
        if piece.address_type != family.word:
            continue
        weight = weight_of(piece)
        entries = [e for e in map(_read, piece.endpoints or ()) if e and Family.of(e[0]) is family]
        for port in piece.ports or ():
            number = port.port
            if port.name is None or not number:
                continue
            known = found.setdefault((port.name, port.protocol or "TCP"), {})
            for address, ready, serving, terminating, about in entries:
                candidate = Candidate(address, number, ready, serving, terminating, about, weight)
                other = known.setdefault((address, number), candidate)
                if other is not candidate and candidate.rank() > other.rank():
                    known[address, number] = candidate
    text = "%s:%d" if family is Family.IPV4 else "[%s]:%d"
    return {
        key: tuple([known[endpoint] for endpoint in sorted(known, key=text.__mod__)])
        for key, known in found.items()
        if known
    }


def _read(entry: SliceEndpoint) -> tuple[str, bool, bool, bool, SliceEndpoint] | None:
    address = canonical_address(entry.addresses[0]) if entry.addresses else None
    if address is None:
        return None
    conditions = entry.conditions
    if conditions is None:
        return (address, True, True, False, entry)
    return (
        address,
        conditions.ready is not False,
        conditions.serving is not False,
        conditions.terminating is True,
        entry,
    )


def _by_name(piece: EndpointSlice) -> str:
    return piece.metadata.name
