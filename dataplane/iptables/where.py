"""The rules that serve one frontend, as text for people."""

from __future__ import annotations

from dataplane.iptables.chain import NAT, Chain
from dataplane.iptables.ruleset import Ruleset
from dataplane.iptables.saved import tokens
from dataplane.iptables.skeleton import FIXED
from dataplane.table import Frontend


def where(program: str, ruleset: Ruleset, frontend: Frontend) -> str:
    """First the rules that tell packets for it, then the chains that those lead to, in the order of their use."""
    lines: list[str] = []
    follow: list[str] = []

    def show(chain: Chain, rule: str) -> None:
        lines.append(f"{program} -t {chain.table} -A {chain.name} {rule}")
        words = tokens(rule)
        if "-j" in words:
            follow.append(words[words.index("-j") + 1])

    for chain, rule in ruleset.entrance_rules(frontend):
        show(chain, rule)
    shown: set[Chain] = set()
    while follow:
        chain = Chain(NAT, follow.pop(0))
        if chain in shown or chain in FIXED:
            continue
        shown.add(chain)
        for rule in ruleset.chains.get(chain, ()):
            show(chain, rule)
    return "\n".join(lines)
