"""What has to go when the mode goes: its own chains, and the rules of built-in chains that lead to them.

Whoever wrote them: kube-proxy's leavings have the same names. Kubelet's chains (KUBE-FIREWALL, its canary, its hint)
and everybody else's rules stay.
"""

from __future__ import annotations

from itertools import pairwise

from dataplane.iptables.chain import Chain
from dataplane.iptables.restore import Restore
from dataplane.iptables.saved import Saved, is_ours, tokens
from dataplane.iptables.skeleton import Guest


def leaving(found: Saved) -> Restore:
    """What removes all of ours from what was found."""
    guests = [
        Guest(chain, rule)
        for chain, rules in found.chains.items()
        if not is_ours(chain)
        for rule in rules
        if _leads_to_ours(chain, rule)
    ]
    return Restore(gone=list(found.ours()), leaving=guests)


def _leads_to_ours(chain: Chain, rule: str) -> bool:
    if "KUBE-" not in rule:
        return False
    words = tokens(rule)
    for option, value in pairwise(words):
        if option in ("-j", "-g"):
            return is_ours(Chain(chain.table, value))
    return False
