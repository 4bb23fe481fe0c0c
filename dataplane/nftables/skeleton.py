"""The fixed part of the ruleset: base chains, and the chains and sets that every packet may meet.

    prerouting, output  -110   check-sources        is this source allowed here?
    prerouting, output  -100   translate            which service is it? → shapes, affinity
    input, forward, output 0   refuse-..., check-cluster-ips   what was not translated and must not pass
    postrouting          100   masquerading         what must come back through this node

Nothing here depends on Services, only on the table's global values.
"""

from __future__ import annotations

from collections.abc import Iterator

from dataplane.nft import fields, statements
from dataplane.nft.fields import PORT, PROTOCOL, Field
from dataplane.nft.kernel import Hook, SetFlag
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import BaseHook, Chain, Holds, Set
from dataplane.nft.statements import Rule, Statement, jump, rule
from dataplane.table import Family, ForwardingTable

SERVICES, NODE_PORTS = "services", "node-ports"
REFUSED_SERVICES, REFUSED_NODE_PORTS = "refused-services", "refused-node-ports"
LIMITED, ALLOWED_SOURCES = "limited", "allowed-sources"
HAIRPIN, CLUSTER_IPS, NODE_ADDRESSES = "hairpin", "cluster-ips", "node-addresses"
REJECT = "reject-connection"


def frontend_key(layer: Layer3) -> tuple[Field, ...]:
    return (fields.destination(layer), PROTOCOL, PORT)


NODE_PORT_KEY = (PROTOCOL, PORT)


def sets(layer: Layer3) -> Iterator[Set]:
    """The sets that always exist."""
    source, destination = fields.source(layer), fields.destination(layer)
    key = frontend_key(layer)
    yield Set(SERVICES, key, Holds.VERDICT)
    yield Set(NODE_PORTS, NODE_PORT_KEY, Holds.VERDICT)
    yield Set(REFUSED_SERVICES, key, Holds.VERDICT)
    yield Set(REFUSED_NODE_PORTS, NODE_PORT_KEY, Holds.VERDICT)
    yield Set(LIMITED, key)
    yield Set(ALLOWED_SOURCES, (*key, source), flags=SetFlag.INTERVAL)
    yield Set(CLUSTER_IPS, (destination,))
    yield Set(NODE_ADDRESSES, (destination,))
    yield Set(HAIRPIN, (source, destination, PROTOCOL, PORT))


def chains(layer: Layer3, table: ForwardingTable, mark: int) -> Iterator[Chain]:
    """The chains that always exist; `mark` is the bit that asks for masquerading."""
    key = frontend_key(layer)
    new = statements.NEW
    yield from _base_chains(new)
    yield Chain("check-sources", _check_sources(layer))
    yield Chain(
        "translate",
        (
            rule(statements.look_up_verdict(key, SERVICES)),
            rule(*_to_node_port(layer, table), statements.look_up_verdict(NODE_PORT_KEY, NODE_PORTS)),
        ),
    )
    yield Chain("refuse-services", (rule(statements.look_up_verdict(key, REFUSED_SERVICES)),))
    yield Chain(
        "refuse-node-ports",
        (rule(*_to_node_port(layer, table), statements.look_up_verdict(NODE_PORT_KEY, REFUSED_NODE_PORTS)),),
    )
    yield Chain("check-cluster-ips", tuple(_check_cluster_ips(layer, table)))
    yield Chain(REJECT, (rule(statements.reject(layer)),))
    yield Chain("masquerading", _masquerading(layer, mark))


def _base_chains(new: Statement) -> Iterator[Chain]:
    check_sources = (rule(new, jump("check-sources")),)
    # Rejecting before routing needs a kernel of 5.9 or later, so refusals wait for these three hooks.
    refuse = (rule(new, jump("refuse-services")), rule(new, jump("check-cluster-ips")))
    refuse_input = (rule(new, jump("refuse-node-ports")), rule(new, jump("refuse-services")))
    translate = (rule(jump("translate")),)
    masquerading = (rule(jump("masquerading")),)
    for name, kind, hook, priority, rules in (
        ("before-dnat-prerouting", "filter", Hook.PREROUTING, -110, check_sources),
        ("before-dnat-output", "filter", Hook.OUTPUT, -110, check_sources),
        ("nat-prerouting", "nat", Hook.PREROUTING, -100, translate),
        ("nat-output", "nat", Hook.OUTPUT, -100, translate),
        ("filter-input", "filter", Hook.INPUT, 0, refuse_input),
        ("filter-forward", "filter", Hook.FORWARD, 0, refuse),
        ("filter-output", "filter", Hook.OUTPUT, 0, refuse),
        ("nat-postrouting", "nat", Hook.POSTROUTING, 100, masquerading),
    ):
        yield Chain(name, rules, BaseHook(kind, hook, priority))


def _check_sources(layer: Layer3) -> tuple[Rule, ...]:
    key = frontend_key(layer)
    return (
        rule(
            statements.in_set(key, LIMITED),
            statements.not_in_set((*key, fields.source(layer)), ALLOWED_SOURCES),
            statements.DROP,
        ),
    )


def _to_node_port(layer: Layer3, table: ForwardingTable) -> tuple[Statement, ...]:
    """The destination is an address on which NodePorts answer."""
    if layer.family.any_address in table.node_addresses:
        return (statements.TO_THIS_HOST, statements.not_to_network(layer, layer.loopback))
    return (statements.in_set((fields.destination(layer),), NODE_ADDRESSES),)


def _check_cluster_ips(layer: Layer3, table: ForwardingTable) -> Iterator[Rule]:
    """A port that a live Service has not is refused at once; an address that no Service has stays silent."""
    yield rule(statements.in_set((fields.destination(layer),), CLUSTER_IPS), statements.reject(layer))
    for network in sorted(table.service_cidrs):
        if Family.of(network) is layer.family:
            yield rule(statements.to_network(layer, network), statements.DROP)


def _masquerading(layer: Layer3, mark: int) -> tuple[Rule, ...]:
    # The mark is taken off again, so that a packet which meets the stack twice is not masqueraded twice.
    return (
        rule(statements.has_mark(mark), statements.flip_mark(mark), statements.MASQUERADE),
        rule(
            statements.TRANSLATED,
            statements.in_set((fields.source(layer), fields.destination(layer), PROTOCOL, PORT), HAIRPIN),
            statements.MASQUERADE,
        ),
    )
