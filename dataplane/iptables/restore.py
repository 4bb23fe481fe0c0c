"""Writing for ``iptables-restore --noflush``: whole chains are replaced, everything else stays as it is.

A table is one transaction, unless there are more chains to write than a transaction may have (`Iptables.most_chains`).
Then there are several, and what is there between them is whole too: a chain comes with or after those that it leads to,
and none is deleted before all have been written. So packets for a service port meet its old rules or its new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dataplane.iptables.chain import TABLES, Chain, Rules
from dataplane.iptables.skeleton import Guest


@dataclass(frozen=True, slots=True)
class Restore:
    """What to write.

    `chains` are made, or emptied and filled; `gone` are deleted; `guests` are put at the head of chains that are not
    ours, the last one first; `leaving` are rules, as saved, to take out of such chains.
    """

    chains: Mapping[Chain, Rules] = field(default_factory=dict)
    gone: Iterable[Chain] = ()
    guests: Iterable[Guest] = ()
    leaving: Iterable[Guest] = ()

    def text(self, most_chains: int | None = None) -> str:
        """The input of the program; empty if there is nothing to do."""
        return "".join(text for table in TABLES for text in self._transactions(table, most_chains))

    @property
    def operations(self) -> int:
        """How many chains and rules are written or removed."""
        rules = sum(map(len, self.chains.values()))
        return rules + len(self.chains) + sum(1 for many in (self.gone, self.guests, self.leaving) for _ in many)

    def _transactions(self, table: str, most: int | None) -> Iterator[str]:
        chains = {chain.name: rules for chain, rules in self.chains.items() if chain.table == table}
        gone = sorted(chain.name for chain in self.gone if chain.table == table)
        visits = [f"-D {g.chain.name} {g.rule}" for g in self.leaving if g.chain.table == table]
        visits += [f"-I {g.chain.name} {g.rule}" for g in self.guests if g.chain.table == table]
        if most is None or len(chains) + len(gone) <= most:
            yield _transaction(table, chains, visits, emptied=gone, deleted=gone)
            return
        for names in _parts(_leaves_first(chains), most):
            yield _transaction(table, {name: chains[name] for name in names})
        yield _transaction(table, {}, visits)
        for names in _parts(gone, most):  # which may lead to each other
            yield _transaction(table, {}, emptied=names)
        for names in _parts(gone, most):
            yield _transaction(table, {}, deleted=names)


def _transaction(
    table: str,
    chains: Mapping[str, Rules],
    visits: Sequence[str] = (),
    *,
    emptied: Sequence[str] = (),
    deleted: Sequence[str] = (),
) -> str:
    lines = [f":{name} - [0:0]" for name in sorted([*chains, *emptied])]
    lines += visits
    for name in sorted(chains):
        head = f"-A {name} "
        lines += [head + rule for rule in chains[name]]
    lines += [f"-X {name}" for name in deleted]
    return "\n".join([f"*{table}", *lines, "COMMIT", ""]) if lines else ""


def _parts(names: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    return (names[begin : begin + most] for begin in range(0, len(names), most))


def _leaves_first(chains: Mapping[str, Rules]) -> list[str]:
    """The names of these chains, each after those of them that its rules lead to, and as near to them as can be."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:  # as deep as packets jump, which is not far
        if name in chains and name not in found:
            for rule in chains[name]:
                visit(_target(rule))
            found[name] = None

    for name in chains:
        visit(name)
    return list(found)


def _target(rule: str) -> str:
    return rule.rpartition("-j ")[2].partition(" ")[0]
