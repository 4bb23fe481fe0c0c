"""The rules of IPVS mode: table ``svcplane-ipvs`` of each IP version. Their number does not depend on Services.

    prerouting, output   -99   may this source connect? what does the map of this kind of client say? → marks
    output               -90   what IPVS gave to this very host is routed again
    input, forward, output 0   refuse what is marked so, and what is addressed to a Service and has no mark
    input                101   what IPVS did not take although it should
    postrouting          100   what must come back through this node

IPVS looks between -99 and -90 at what this host sends, and between 0 and 101 at what comes in. What it has translated
is known by the mark that it still has. To another host it goes through output a second time. To this one it just goes
on, with the route that it had to the Service's address; a chain of type route has the kernel look for a new one when it
takes the mark away.

NAT (-100) comes first, and what it has translated is left to it. So while this mode's rules and another's are both in
force, as one follows the other, new connections are the other's: two that translate one packet would break it.

A connection's mark remembers that IPVS has it (its later packets must come here too, whatever the maps say by then) and
whether it is masqueraded.
"""

from __future__ import annotations

from collections.abc import Iterator

from dataplane.ipvs import marks
from dataplane.nft import guard, statements
from dataplane.nft.kernel import Hook
from dataplane.nft.layer3 import IPV4, IPV6, Layer3
from dataplane.nft.objects import BaseHook, Chain, Holds, Set
from dataplane.nft.statements import NEW, ORIGINAL, TRANSLATED, Rule, Statement, goto, jump, rule
from dataplane.table import Client, DetectLocal, Family, ForwardingTable, Protocol

TABLE = "svcplane-ipvs"
LAYERS = {Family.IPV4: IPV4.with_table(TABLE), Family.IPV6: IPV6.with_table(TABLE)}

_OURS = statements.mark_begins(marks.PREFIX, marks.MASK)
_TO_DELIVER = statements.mark_begins(marks.DELIVER, marks.DELIVER_MASK)
_FORGET = statements.set_mark_to(0)


def map_name(client: Client, *, node_port: bool) -> str:
    return f"{client.value}-{'node-ports' if node_port else 'services'}"


def sets(layer: Layer3) -> Iterator[Set]:
    for client in Client:
        yield Set(map_name(client, node_port=False), guard.frontend_key(layer), Holds.MARK)
        yield Set(map_name(client, node_port=True), guard.NODE_PORT_KEY, Holds.MARK)
    yield from guard.sets(layer)


def chains(layer: Layer3, table: ForwardingTable, masquerade: int, through_ipvs: int) -> Iterator[Chain]:
    """All chains; the last two are bits of the connection's mark."""
    known = statements.connection_has_mark(through_ipvs)
    yield _base(
        "steer-prerouting", Hook.PREROUTING, -99,
        rule(_OURS, _FORGET),
        rule(TRANSLATED, statements.RETURN),
        rule(NEW, jump("check-sources")),
        rule(NEW, goto("steer")),
        rule(ORIGINAL, known, statements.set_mark_to(marks.DELIVER)),
    )  # fmt: skip
    yield _base(
        "steer-output", Hook.OUTPUT, -99,
        rule(_OURS, goto("translated")),
        rule(TRANSLATED, statements.RETURN),
        rule(NEW, jump("check-sources")),
        rule(NEW, goto("steer")),
        rule(ORIGINAL, known, statements.set_mark_to(marks.DELIVER)),
    )  # fmt: skip
    yield Chain("translated", (rule(_FORGET),))
    yield Chain(
        "route-again",
        (rule(_TO_DELIVER, statements.TO_THIS_HOST, _FORGET),),
        BaseHook("route", Hook.OUTPUT, -90),
    )
    yield Chain("check-sources", (guard.check_sources(layer),))
    yield Chain("steer", tuple(_by_client(layer, table.detect_local)))
    for client in Client:
        yield Chain(f"steer-{client.value}", tuple(_steer(layer, table, client)))
    yield Chain(
        "steered",
        (
            rule(statements.set_connection_mark(through_ipvs)),
            rule(statements.has_mark(marks.MASQUERADE), statements.set_connection_mark(masquerade)),
            rule(statements.clear_mark_bit(marks.MASQUERADE)),
        ),
    )
    yield Chain("refuse", tuple(_refuse(layer, marks.REJECT, marks.DROP)))
    yield Chain("refuse-node-ports", tuple(_refuse(layer, marks.REJECT_NODE_PORT, marks.DROP_NODE_PORT)))
    yield Chain("check-cluster-ips", tuple(guard.check_cluster_ips(layer, table)))
    yield Chain("not-taken", tuple(_not_taken()))
    yield _base("filter-input", Hook.INPUT, 0, rule(_OURS, jump("refuse")), rule(_OURS, jump("refuse-node-ports")))
    yield _base("filter-forward", Hook.FORWARD, 0, rule(_OURS, jump("refuse")), rule(NEW, jump("check-cluster-ips")))
    yield _base("filter-output", Hook.OUTPUT, 0, rule(_OURS, jump("refuse")), rule(NEW, jump("check-cluster-ips")))
    yield _base("after-ipvs", Hook.INPUT, 101, rule(_OURS, statements.TO_ELSEWHERE, goto("not-taken")))
    yield Chain(
        "nat-postrouting",
        (
            rule(statements.connection_has_mark(masquerade), statements.MASQUERADE),
            rule(known, statements.in_set(guard.hairpin_key(layer), guard.HAIRPIN), statements.MASQUERADE),
        ),
        BaseHook("nat", Hook.POSTROUTING, 100),
    )


def _base(name: str, hook: Hook, priority: int, *rules: Rule) -> Chain:
    return Chain(name, rules, BaseHook("filter", hook, priority))


def _by_client(layer: Layer3, detect: DetectLocal) -> Iterator[Rule]:
    if detect.applies_to(layer.family):
        yield rule(_from_pod(layer, detect), goto(f"steer-{Client.POD.value}"))
    yield rule(statements.FROM_THIS_HOST, goto(f"steer-{Client.NODE.value}"))
    yield rule(goto(f"steer-{Client.OUTSIDE.value}"))


def _from_pod(layer: Layer3, detect: DetectLocal) -> Statement:
    if detect.interface:
        return statements.from_interface(detect.interface, detect.prefix)
    network = detect.network(layer.family)
    assert network is not None, "asked only where the rule applies"
    return statements.from_network(layer, network)


def _steer(layer: Layer3, table: ForwardingTable, client: Client) -> Iterator[Rule]:
    """First by address and port, then as a NodePort; what neither map has stays as it is."""
    yield rule(statements.look_up_mark(guard.frontend_key(layer), map_name(client, node_port=False)))
    yield rule(_OURS, goto("steered"))
    look_up = statements.look_up_mark(guard.NODE_PORT_KEY, map_name(client, node_port=True))
    yield rule(*guard.to_node_port(layer, table), look_up)
    yield rule(_OURS, goto("steered"))


def _refuse(layer: Layer3, reject: int, drop: int) -> Iterator[Rule]:
    yield rule(statements.mark_is(reject), statements.reject(layer))
    yield rule(statements.mark_is(drop), statements.DROP)


def _not_taken() -> Iterator[Rule]:
    """IPVS forgets idle connections sooner than conntrack does, and this host itself serves nothing there."""
    yield rule(statements.is_protocol(Protocol.TCP), statements.RESET)
    yield rule(statements.DROP)
