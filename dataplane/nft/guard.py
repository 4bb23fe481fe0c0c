"""What every mode that writes nf_tables asks in the same way, however it then translates.

May this source connect? Is it an address on which NodePorts answer, or one of a Service? Does a backend reach itself?
The sets for these questions, the rules that ask them, and the elements that one frontend adds.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from dataplane.interface import DataplaneError
from dataplane.nft import elements, fields, statements
from dataplane.nft.fields import PORT, PROTOCOL, Field
from dataplane.nft.kernel import SetFlag
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import Set
from dataplane.nft.statements import Rule, Statement, rule
from dataplane.table import Family, ForwardingTable, Frontend, FrontendKey, Pool

LIMITED, ALLOWED_SOURCES = "limited", "allowed-sources"
HAIRPIN, CLUSTER_IPS, NODE_ADDRESSES = "hairpin", "cluster-ips", "node-addresses"


def frontend_key(layer: Layer3) -> tuple[Field, ...]:
    return (fields.destination(layer), PROTOCOL, PORT)


NODE_PORT_KEY = (PROTOCOL, PORT)


def hairpin_key(layer: Layer3) -> tuple[Field, ...]:
    return (fields.source(layer), fields.destination(layer), PROTOCOL, PORT)


def sets(layer: Layer3) -> Iterator[Set]:
    key = frontend_key(layer)
    yield Set(LIMITED, key)
    yield Set(ALLOWED_SOURCES, (*key, fields.source(layer)), flags=SetFlag.INTERVAL)
    yield Set(CLUSTER_IPS, (fields.destination(layer),))
    yield Set(NODE_ADDRESSES, (fields.destination(layer),))
    yield Set(HAIRPIN, hairpin_key(layer))


# --- rules --------------------------------------------------------------------------------------------------------


def check_sources(layer: Layer3) -> Rule:
    key = frontend_key(layer)
    return rule(
        statements.in_set(key, LIMITED),
        statements.not_in_set((*key, fields.source(layer)), ALLOWED_SOURCES),
        statements.DROP,
    )


def to_node_port(layer: Layer3, table: ForwardingTable) -> tuple[Statement, ...]:
    """The destination is an address on which NodePorts answer."""
    if layer.family.any_address in table.node_addresses:
        return (statements.TO_THIS_HOST, statements.not_to_network(layer, layer.loopback))
    return (statements.in_set((fields.destination(layer),), NODE_ADDRESSES),)


def check_cluster_ips(layer: Layer3, table: ForwardingTable) -> Iterator[Rule]:
    """A port that a live Service has not is refused at once; an address that no Service has stays silent."""
    yield rule(statements.in_set((fields.destination(layer),), CLUSTER_IPS), statements.reject(layer))
    for network in sorted(table.service_cidrs):
        if Family.of(network) is layer.family:
            yield rule(statements.to_network(layer, network), statements.DROP)


# --- elements -------------------------------------------------------------------------------------------------------


def element_key(key: FrontendKey) -> bytes:
    """The frontend as sets are keyed by it."""
    head = fields.protocol(key.protocol.number) + fields.port(key.port)
    return head if key.is_node_port else fields.address(key.address) + head


def limits(frontend: Frontend, head: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """The frontend is limited, and these networks are allowed. Overlapping ones are merged, as the kernel asks."""
    if frontend.sources is None:
        return
    if frontend.key.is_node_port:
        # Kubernetes limits the sources of load balancer addresses only.
        raise DataplaneError(f"nftables: {frontend.key} ({frontend.service}): a NodePort cannot limit its sources")
    yield (LIMITED, head, elements.NO_TAIL)
    family = frontend.key.family
    networks = (ipaddress.ip_network(text) for text in frontend.sources)
    own = [n for n in networks if n.version == family]
    for network in ipaddress.collapse_addresses(own):  # type: ignore[type-var]
        first, last = network.network_address.packed, network.broadcast_address.packed
        yield (ALLOWED_SOURCES, head + first, elements.interval_end(head + last))


def hairpins(frontend: Frontend, pool: Pool) -> Iterator[bytes]:
    """The keys of a pool's backends that may reach themselves. Frontends may share them."""
    protocol = fields.protocol(frontend.key.protocol.number)
    for backend in pool.backends:
        if backend.local:
            address = fields.address(backend.address)
            yield address + address + protocol + fields.port(backend.port)
