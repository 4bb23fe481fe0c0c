"""The fixed part of the ruleset: base chains, and the chains and sets that every packet may meet.

    prerouting, output  -110   check-sources        is this source allowed here?
    prerouting, output  -100   translate            which service is it? → shapes, affinity
    input, forward, output 0   refuse-..., check-cluster-ips   what was not translated and must not pass
    postrouting          100   masquerading         what must come back through this node

Nothing here depends on Services, only on the table's global values.
"""

from __future__ import annotations

from collections.abc import Iterator

from dataplane.nft import guard, statements
from dataplane.nft.kernel import Hook, SetFlag
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import BaseHook, Chain, Holds, Set
from dataplane.nft.statements import Rule, Statement, jump, rule
from dataplane.table import ForwardingTable

SERVICES, NODE_PORTS = "services", "node-ports"
REFUSED_SERVICES, REFUSED_NODE_PORTS = "refused-services", "refused-node-ports"
REMOVED = "removed"
REJECT = "reject-connection"

#: How long it is known which frontends were removed, in seconds: long enough for another agent to come.
_KNOWN_AS_REMOVED = 86400


def sets(layer: Layer3) -> Iterator[Set]:
    """The sets that always exist."""
    key = guard.frontend_key(layer)
    yield Set(SERVICES, key, Holds.VERDICT)
    yield Set(NODE_PORTS, guard.NODE_PORT_KEY, Holds.VERDICT)
    yield Set(REFUSED_SERVICES, key, Holds.VERDICT)
    yield Set(REFUSED_NODE_PORTS, guard.NODE_PORT_KEY, Holds.VERDICT)
    yield from guard.sets(layer)
    # No packet asks for these: they tell the next agent whose flows this one may not have forgotten in time.
    yield Set(REMOVED, key, flags=SetFlag.EVAL | SetFlag.TIMEOUT, timeout=_KNOWN_AS_REMOVED)


def chains(layer: Layer3, table: ForwardingTable, mark: int) -> Iterator[Chain]:
    """The chains that always exist; `mark` is the bit that asks for masquerading."""
    key = guard.frontend_key(layer)
    new = statements.NEW
    yield from _base_chains(new)
    yield Chain("check-sources", (guard.check_sources(layer),))
    yield Chain(
        "translate",
        (
            rule(statements.look_up_verdict(key, SERVICES)),
            rule(*guard.to_node_port(layer, table), statements.look_up_verdict(guard.NODE_PORT_KEY, NODE_PORTS)),
        ),
    )
    yield Chain("refuse-services", (rule(statements.look_up_verdict(key, REFUSED_SERVICES)),))
    yield Chain(
        "refuse-node-ports",
        (rule(*guard.to_node_port(layer, table), statements.look_up_verdict(guard.NODE_PORT_KEY, REFUSED_NODE_PORTS)),),
    )
    yield Chain("check-cluster-ips", tuple(guard.check_cluster_ips(layer, table)))
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


def _masquerading(layer: Layer3, mark: int) -> tuple[Rule, ...]:
    # The mark is taken off again, so that a packet which meets the stack twice is not masqueraded twice.
    return (
        rule(statements.has_mark(mark), statements.flip_mark(mark), statements.MASQUERADE),
        rule(
            statements.TRANSLATED,
            statements.in_set(guard.hairpin_key(layer), guard.HAIRPIN),
            statements.MASQUERADE,
        ),
    )
