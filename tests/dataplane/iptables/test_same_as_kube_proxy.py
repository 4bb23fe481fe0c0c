"""Our rules beside those of a real kube-proxy, for the same objects.

Ours follow kube-proxy v1.36; the one that wrote `kube-proxy-1.20.2.txt` is older (`kube_proxy_rules.py` asks it). Every
rule is the same in both, or is accounted for in `DIFFERENCES` and, under the same words, in docs/iptables-mode.md. What
accounts for nothing fails as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

import kube_proxy_rules
from dataplane.iptables.names import LOCAL, PREFIXES, chain_hash
from dataplane.iptables.saved import meaning
from dataplane.table import Protocol

HERE = Path(__file__).parent
RECORDED = HERE / "kube-proxy-1.20.2.txt"
OURS = HERE / "mixed-cluster.txt"
DOCUMENT = HERE.parents[2] / "docs" / "iptables-mode.md"

ONLY_HERE = chain_hash("default/only-here:http", Protocol.TCP)


class Difference(NamedTuple):
    """Patterns for rules, written ``TABLE CHAIN RULE``, that only kube-proxy 1.20 has, and that only we have."""

    theirs: str | None
    ours: str | None


#: By what the document calls them.
DIFFERENCES: Mapping[str, Difference] = {
    "KUBE-EXT and KUBE-SVL instead of KUBE-XLB": Difference(
        r"KUBE-XLB-|^nat KUBE-(FW-\S+|NODEPORTS) .*-j KUBE-(SVC-|MARK-MASQ)", r"KUBE-EXT-|^nat KUBE-SVL-\S+ (?!! -s)"
    ),
    "where masquerading is asked for": Difference(
        r"^nat KUBE-SERVICES .*-j KUBE-MARK-MASQ", r"^nat KUBE-SV[CL]-\S+ .*cluster IP.*-j KUBE-MARK-MASQ"
    ),
    "KUBE-PROXY-FIREWALL instead of KUBE-MARK-DROP": Difference(
        r"-j KUBE-MARK-DROP", r"KUBE-PROXY-FIREWALL|KUBE-EXTERNAL-SERVICES .* -j DROP"
    ),
    "a load balancer without source ranges has no KUBE-FW": Difference(
        r"-j KUBE-FW-" + chain_hash("default/outside:http", Protocol.TCP), None
    ),
    "`internalTrafficPolicy`": Difference(r"default/only-here:http", rf"{LOCAL}{ONLY_HERE}"),
    "one rule for known connections in KUBE-FORWARD": Difference(r"conntrack pod \w+ rule", r"conntrack rule"),
    "health check ports are let in": Difference(None, r"health check"),
    "KUBE-FIREWALL": Difference(None, r"KUBE-FIREWALL"),
    "what this node sends to an external address": Difference(None, r"OUTPUT .*-j KUBE-EXTERNAL-SERVICES"),
}

Rules: TypeAlias = dict[tuple[str, str, tuple[str, ...]], str]
"""What each rule means (its table, its chain, its options), and how it reads."""


def rules_in(text: str) -> Rules:
    found: Rules = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(("-A ", "-I ")):
            chain, _, rule = line[3:].partition(" ")
            rule = re.sub(r' -> [^"]+"', '"', rule)  # a newer kube-proxy's comments name the endpoint
            found[table, chain, meaning(rule)] = f"{table} {chain} {rule}"
    return found


def only_in(one: Rules, other: Rules) -> list[str]:
    return [text for rule, text in one.items() if rule not in other]


@pytest.fixture(scope="module", params=["recorded", "live"])
def theirs(request: pytest.FixtureRequest) -> Rules:
    """From the file, and from a kube-proxy 1.20.2 whose path is in the environment."""
    if request.param == "recorded":
        return rules_in(RECORDED.read_text())
    kube_proxy = os.environ.get("SVCPLANE_KUBE_PROXY")
    if not kube_proxy or os.geteuid() != 0:
        pytest.skip("needs root, and SVCPLANE_KUBE_PROXY=PATH of a kube-proxy 1.20.2")
    return rules_in(kube_proxy_rules.rules_of(kube_proxy))


@pytest.fixture(scope="module")
def ours() -> Rules:
    return rules_in(OURS.read_text())


def test_every_rule_that_only_kube_proxy_has_is_accounted_for(theirs: Rules, ours: Rules) -> None:
    patterns = [d.theirs for d in DIFFERENCES.values() if d.theirs]
    assert [rule for rule in only_in(theirs, ours) if not any(re.search(p, rule) for p in patterns)] == []


def test_every_rule_that_only_we_have_is_accounted_for(theirs: Rules, ours: Rules) -> None:
    patterns = [d.ours for d in DIFFERENCES.values() if d.ours]
    assert [rule for rule in only_in(ours, theirs) if not any(re.search(p, rule) for p in patterns)] == []


@pytest.mark.parametrize("name", DIFFERENCES)
def test_every_difference_is_there_and_in_the_document(name: str, theirs: Rules, ours: Rules) -> None:
    difference = DIFFERENCES[name]
    assert not difference.theirs or any(re.search(difference.theirs, rule) for rule in only_in(theirs, ours))
    assert not difference.ours or any(re.search(difference.ours, rule) for rule in only_in(ours, theirs))
    assert f"| {name} |" in DOCUMENT.read_text()


def test_what_both_have_comes_in_the_same_order(theirs: Rules, ours: Rules) -> None:
    """In chains of a service port; in those that all share, kube-proxy's order is by chance."""

    def in_chains(rules: Rules, other: Rules) -> dict[str, list[tuple[str, ...]]]:
        chains: dict[str, list[tuple[str, ...]]] = {}
        for rule in rules:
            _, chain, what = rule
            if rule in other and chain.startswith(PREFIXES):
                chains.setdefault(chain, []).append(what)
        return chains

    common = in_chains(theirs, ours)
    assert common == in_chains(ours, theirs)
    assert sum(map(len, common.values())) > 25
