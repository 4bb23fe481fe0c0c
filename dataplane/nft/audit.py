"""Comparing what the kernel holds with what it should hold, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dataplane.interface import Drift
from dataplane.netlink import attributes
from dataplane.netlink.channel import Channel
from dataplane.netlink.messages import netfilter_attributes
from dataplane.nft import dump, objects, texts
from dataplane.nft.kernel import TABLE_DORMANT, SetFlag
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import Chain, Set
from dataplane.nft.plan import Plan

#: Elements named one by one for each set; of the others only the number is told.
_NAMED = 10


def signature(layer: Layer3, spec: Set) -> dump.SetSignature:
    """As the kernel will show the set."""
    return dump.signature(attributes.parse(netfilter_attributes(memoryview(objects.new_set(layer, spec, 0)))))


def audit(channel: Channel, layer: Layer3, cold: Plan | None) -> Drift:
    """`cold` is the plan that writes everything: what should be there. None: not even the table should be."""
    where = f"{layer} {layer.table}"
    flags = dump.table_flags(channel, layer)
    if cold is None:
        return Drift(foreign=(f"table {where}",)) if flags is not None else Drift()
    if flags is None:
        return Drift(missing=(f"table {where}",))
    missing: list[str] = [f"table {where}, which is dormant"] if flags & TABLE_DORMANT else []
    foreign: list[str] = []
    _compare_chains(channel, layer, cold.new_chains, missing, foreign)
    found = dump.sets(channel, layer)
    for name, spec in cold.new_sets.items():
        if name not in found:
            missing.append(f"{where}: {spec.kind} {name}")
        elif found[name] != signature(layer, spec):
            missing.append(f"{where}: {spec.kind} {name} with the right type")
        elif SetFlag.EVAL not in spec.flags:  # what packets write is theirs
            _compare_elements(channel, layer, spec, cold.added.get(name, []), missing, foreign)
    foreign += [f"{where}: set {name}" for name in found if name not in cold.new_sets]
    return Drift(tuple(missing), tuple(foreign))


def _compare_chains(
    channel: Channel, layer: Layer3, wanted: dict[str, Chain], missing: list[str], foreign: list[str]
) -> None:
    where = f"{layer} {layer.table}"
    chains, rules = dump.chains(channel, layer), dump.rules(channel, layer)
    for name, chain in wanted.items():
        if name not in chains:
            missing.append(f"{where}: chain {name}")
            continue
        if chains[name] != chain.base:
            missing.append(f"{where}: chain {name} at its hook")
        theirs = rules.get(name, [])
        for rule in chain.rules:
            if not any(same_rule(rule.code, code) for code in theirs):
                missing.append(f"{where}: rule in chain {name}: {rule.text}")
        strange = [code for code in theirs if not any(same_rule(rule.code, code) for rule in chain.rules)]
        if strange:
            foreign.append(f"{where}: {len(strange)} rule{'s' * (len(strange) > 1)} in chain {name}")
        elif len(theirs) == len(chain.rules) and not all(map(same_rule, (r.code for r in chain.rules), theirs)):
            missing.append(f"{where}: the right order of rules in chain {name}")
        elif len(theirs) > len(chain.rules):
            foreign.append(f"{where}: doubled rules in chain {name}")
    foreign += [f"{where}: chain {name}" for name in chains if name not in wanted]


def _compare_elements(
    channel: Channel,
    layer: Layer3,
    spec: Set,
    wanted: Iterable[tuple[bytes, bytes]],
    missing: list[str],
    foreign: list[str],
) -> None:
    theirs = {(e.key, e.tail) for e in dump.set_elements(channel, layer, spec.name)}
    ours = set(wanted)
    if theirs == ours:
        return
    missing += _elements(layer, spec, ours - theirs)
    foreign += _elements(layer, spec, theirs - ours)


def _elements(layer: Layer3, spec: Set, members: set[tuple[bytes, bytes]]) -> Iterator[str]:
    where = f"{layer} {layer.table}: element in {spec.kind} {spec.name}"
    for key, tail in sorted(members)[:_NAMED]:
        yield f"{where}: {texts.element(spec, key, tail)}"
    if len(members) > _NAMED:
        yield f"{where}: {len(members) - _NAMED} more"


def same_rule(ours: bytes, theirs: bytes) -> bool:
    """Two rules have the same expressions in the same order."""
    own, other = list(attributes.each(ours)), list(attributes.each(theirs))
    return len(own) == len(other) and all(
        _covers(mine, their) for (_, mine), (_, their) in zip(own, other, strict=True)
    )


def _covers(ours: memoryview, theirs: memoryview) -> bool:
    """Every attribute that we write is there with the same value. The kernel adds some of its own."""
    other = attributes.parse(theirs)
    for kind, value in attributes.each_with_flags(ours):
        their = other.get(kind & ~attributes.NESTED)
        if their is None:
            return False
        same = _covers(value, their) if kind & attributes.NESTED else value == their
        if not same:
            return False
    return True
