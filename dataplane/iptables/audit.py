"""Comparing what is really there with what should be, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dataplane.interface import Drift
from dataplane.iptables.chain import Chain, Rules
from dataplane.iptables.ruleset import Ruleset
from dataplane.iptables.saved import Saved, meaning, same
from dataplane.iptables.skeleton import guests

#: Rules named one by one for each chain; of the others only the number is told.
_NAMED = 5


def audit(program: str, wanted: Ruleset | None, found: Saved) -> Drift:
    """`wanted` None: nothing of ours should be there."""
    missing: list[str] = []
    foreign = [f"{program}: chain {chain}" for chain in found.ours() if wanted is None or chain not in wanted.chains]
    if wanted is None:
        return Drift(foreign=tuple(foreign))
    for chain, rules in wanted.chains.items():
        there = found.chains.get(chain)
        if there is None:
            missing.append(f"{program}: chain {chain}")
        elif not same(rules, there):
            lost, strange = _without(rules, there), _without(there, rules)
            missing += _rules(program, chain, lost)
            foreign += _rules(program, chain, strange)
            if not lost and not strange:
                missing.append(f"{program}: the right order of rules in chain {chain}")
    missing += [f"{program}: {g}" for g in guests(wanted.setting) if not found.has(g.chain, g.rule)]
    return Drift(tuple(missing), tuple(foreign))


def _without(some: Rules, others: Rules) -> list[str]:
    """What is in `some` and not in `others`, each as often as it is."""
    left = Counter(map(meaning, others))
    rest = []
    for rule in some:
        key = meaning(rule)
        if left[key]:
            left[key] -= 1
        else:
            rest.append(rule)
    return rest


def _rules(program: str, chain: Chain, rules: list[str]) -> Iterator[str]:
    for rule in rules[:_NAMED]:
        yield f"{program}: rule in chain {chain}: {rule}"
    if len(rules) > _NAMED:
        yield f"{program}: {len(rules) - _NAMED} more rules in chain {chain}"
