"""Writing for ``iptables-restore --noflush``: whole chains are replaced, everything else stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dataplane.iptables.chain import TABLES, Chain, Rules
from dataplane.iptables.skeleton import Guest


@dataclass(frozen=True, slots=True)
class Restore:
    """What to write. Each table is one transaction.

    `chains` are made, or emptied and filled; `gone` are deleted; `guests` are put at the head of chains that are not
    ours, the last one first; `leaving` are rules, as saved, to take out of such chains.
    """

    chains: Mapping[Chain, Rules] = field(default_factory=dict)
    gone: Iterable[Chain] = ()
    guests: Iterable[Guest] = ()
    leaving: Iterable[Guest] = ()

    def text(self) -> str:
        """The input of the program; empty if there is nothing to do."""
        return "".join(self._table(table) for table in TABLES)

    @property
    def operations(self) -> int:
        """How many chains and rules are written or removed."""
        rules = sum(map(len, self.chains.values()))
        return rules + len(self.chains) + sum(1 for many in (self.gone, self.guests, self.leaving) for _ in many)

    def _table(self, table: str) -> str:
        # In the order of names, as iptables keeps them: in any other iptables-nft takes several times as long.
        chains = sorted((chain.name, rules) for chain, rules in self.chains.items() if chain.table == table)
        gone = sorted(chain.name for chain in self.gone if chain.table == table)
        lines = [f":{name} - [0:0]" for name in sorted([*(name for name, _ in chains), *gone])]
        lines += [f"-D {g.chain.name} {g.rule}" for g in self.leaving if g.chain.table == table]
        lines += [f"-I {g.chain.name} {g.rule}" for g in self.guests if g.chain.table == table]
        for name, rules in chains:
            head = f"-A {name} "
            lines += [head + rule for rule in rules]
        lines += [f"-X {name}" for name in gone]
        if not lines:
            return ""
        return "\n".join([f"*{table}", *lines, "COMMIT", ""])
