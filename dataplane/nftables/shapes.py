"""Chains by shape: what many frontends do alike needs one chain, not one for each.

A *leaf* translates: ``pick-4`` sends to one of four backends, whichever frontend came here; the backends
themselves are elements of a map, keyed by the frontend and a drawn number. ``masquerade-pick-4`` asks for
masquerading first. A *dispatch* chain asks who the client is, where clients fare differently:
``pod-pick-4.node-masquerade-pick-4.else-second-pick-2``.
"""

from __future__ import annotations

from dataclasses import dataclass

from dataplane.nft import fields, guard, names, statements
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import Chain, Holds, Set
from dataplane.nft.statements import Rule, Statement, goto, rule
from dataplane.nftables import skeleton
from dataplane.table import DetectLocal

#: A frontend's verdicts can forward to three different pools; each has its own map of backends.
_ORDINALS = ("", "second-", "third-")


def backends_name(slot: int, node_port: bool) -> str:
    return f"{_ORDINALS[slot]}{'node-port-' if node_port else ''}backends"


def backends(layer: Layer3, slot: int, node_port: bool) -> Set:
    """The map that holds the backends of the slot-th pool of each frontend."""
    key = guard.NODE_PORT_KEY if node_port else guard.frontend_key(layer)
    draw = fields.random_number(2)  # the number only stands for its kind: each rule draws its own range
    return Set(backends_name(slot, node_port), (*key, draw), Holds.ENDPOINT)


def pick(layer: Layer3, slot: int, node_port: bool, count: int) -> Chain:
    """The leaf for frontends with so many backends."""
    spec = backends(layer, slot, node_port)
    key = (*spec.key[:-1], fields.random_number(count))
    name = f"{_ORDINALS[slot]}{'node-port-' if node_port else ''}pick-{count}"
    return Chain(name, (rule(statements.dnat_to_map(layer, key, spec.name)),), needs=(spec,))


def masquerade(leaf: str, mark: int) -> Chain:
    """The leaf that asks for masquerading and then does what another one does."""
    return Chain(names.bounded(f"masquerade-{leaf}"), (rule(statements.set_mark(mark)), rule(goto(leaf))))


@dataclass(frozen=True, slots=True)
class Way:
    """Where a client's connection goes: its name, and the statement that sends it there."""

    name: str
    statement: Statement

    @staticmethod
    def to(chain: str) -> Way:
        return Way(chain, goto(chain))


REFUSED = Way("refused", statements.RETURN)  #: in translate: left as it is, the filter will see to it
ACCEPTED = Way("accepted", statements.RETURN)  #: in the filter: none of its business
DROP = Way("drop", statements.DROP)
REJECT = Way.to(skeleton.REJECT)


def dispatch(layer: Layer3, detect: DetectLocal, pod: Way, node: Way, outside: Way) -> Chain | Way:
    """The chain that asks who the client is; or the only way, if all go the same."""
    ways: list[tuple[str, Statement, Way]] = []
    if detect.applies_to(layer.family):
        ways.append(("pod", _from_pod(layer, detect), pod))
    if node != outside:
        ways.append(("node", statements.FROM_THIS_HOST, node))
    if all(way == outside for _, _, way in ways):
        return outside
    rules: list[Rule] = [rule(condition, way.statement) for _, condition, way in ways]
    if outside.statement is not statements.RETURN:
        rules.append(rule(outside.statement))
    parts = [f"{client}-{way.name}" for client, _, way in ways] + [f"else-{outside.name}"]
    return Chain(names.bounded(".".join(parts)), tuple(rules))


def _from_pod(layer: Layer3, detect: DetectLocal) -> Statement:
    if detect.interface:
        return statements.from_interface(detect.interface, detect.prefix)
    network = detect.network(layer.family)
    assert network is not None, "asked only where the rule applies"
    return statements.from_network(layer, network)
