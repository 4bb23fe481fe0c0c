"""From pools to chains: who is picked, and what happens to the packet there.

KUBE-SVC-...  whoever is remembered at an endpoint goes there; of the others the first endpoint gets 1 in n, the
              next 1 in n-1 of what is left, and so on, so that all are as likely as their weights say
KUBE-SEP-...  one endpoint: a client that is the endpoint itself is masqueraded, then the destination is translated
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataplane.iptables import rules
from dataplane.iptables.chain import Rules
from dataplane.iptables.names import ENDPOINT, ChainNames
from dataplane.iptables.rules import comment, jump, rule
from dataplane.iptables.skeleton import MARK_MASQUERADE
from dataplane.table import Affinity, Backend, Family, Pool, Protocol


def endpoint_name(names: ChainNames, backend: Backend, affinity: Affinity | None) -> str:
    """The endpoint's chain, and its memory's name. Whether there is a memory makes another chain of it."""
    return names.name(ENDPOINT, affinity is not None, str(backend))


def pool_rules(pool: Pool, service: str, chains: Sequence[str], *, comments: bool) -> Iterator[str]:
    """The rules of a pool's chain. `chains` are those of its backends, in their order."""

    def to(backend: Backend, match: str, chain: str) -> str:
        remark = comment(f"{service} -> {backend}") if comments else ""
        return rule(remark, match, jump(chain))

    if pool.affinity is not None:
        for backend, chain in zip(pool.backends, chains, strict=True):
            family = Family.of(backend.address)
            yield to(backend, rules.seen_within(chain, pool.affinity.seconds, family), chain)
    left = sum(backend.weight for backend in pool.backends)
    for backend, chain in zip(pool.backends, chains, strict=True):
        yield to(backend, rules.by_chance(backend.weight, left) if left > backend.weight else "", chain)
        left -= backend.weight


def endpoint_rules(
    name: str, backend: Backend, protocol: Protocol, service: str, *, remembers: bool, comments: bool
) -> Rules:
    """The rules of an endpoint's chain, which is called `name`."""
    remark = comment(service) if comments else ""
    memory = rules.remember(name, Family.of(backend.address)) if remembers else ""
    transport = protocol.lower()
    return (
        rule(rules.source(backend.address), remark, jump(MARK_MASQUERADE)),
        rule(f"-p {transport}", remark, memory, f"-m {transport}", rules.translate(backend.endpoint)),
    )
