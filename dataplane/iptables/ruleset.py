"""One family's whole ruleset, and how a change of the ForwardingTable changes it.

Pure: a mapping from chains to rules, made from the table. Service ports are independent of each other but for five
chains that all of them add rules to, so a change costs the service ports that it touches, and each shared chain that
reads differently then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dataplane.changes import Changes
from dataplane.iptables import skeleton
from dataplane.iptables.chain import Chain, Layout, Options, Rules, Setting
from dataplane.iptables.service_port import ServicePort, ServicePortRules, service_port_rules, shared_rules
from dataplane.iptables.tree import grown
from dataplane.table import Family, ForwardingTable, Frontend, FrontendKey

#: With more endpoints than this, the rules that pick one have no comments.
MOST_ENDPOINTS_WITH_COMMENTS = 1000

_NOTHING = ServicePortRules()


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of the ruleset: `changed` chains as they are now, new ones too, and those that are `gone`."""

    changed: Mapping[Chain, Rules] = field(default_factory=dict)
    gone: frozenset[Chain] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone)


class Ruleset:
    """The rules of one family. After `update` they are as the new table wants them."""

    def __init__(self, family: Family, options: Options) -> None:
        self._family, self._options = family, options
        self.setting = Setting.of(ForwardingTable(), family, options)
        self.chains: dict[Chain, Rules] = {}
        self._frontends: dict[ServicePort, dict[FrontendKey, Frontend]] = {}
        self._ports: dict[ServicePort, ServicePortRules] = {}
        self._trees: dict[Chain, frozenset[Chain]] = {}  # the chains that each shared chain has been divided into
        self._health_checks: Rules = ()
        self._endpoints = 0
        self._comments = True

    @staticmethod
    def of(table: ForwardingTable, family: Family, options: Options) -> Ruleset:
        """The ruleset for this table, made from nothing."""
        ruleset = Ruleset(family, options)
        ruleset.update(Changes.between(ForwardingTable(), table), table)
        return ruleset

    def update(self, changes: Changes, table: ForwardingTable) -> Difference:
        """Make it the ruleset for `table`; `changes` must be the difference from the last one."""
        touched = self._move(changes)
        self._health_checks = skeleton.health_checks(table, self._family)
        setting = Setting.of(table, self._family, self._options)
        if not self.chains or setting != self.setting:
            self.setting = setting
            return self._remake()
        difference = self._rewrite(touched)
        if self._comments != self._with_comments():
            return self._remake(difference.gone)
        return difference

    def entrance_rules(self, frontend: Frontend) -> list[tuple[Chain, str]]:
        """The rules by which packets for this frontend are told, in the chains that all service ports share."""
        port = _port(frontend)
        found = shared_rules(port, self._frontends[port].values(), self.setting, frontend.key)
        return [(self._holder(chain, rule), rule) for chain, rule in found]

    def _holder(self, root: Chain, rule: str) -> Chain:
        """Which chain of a shared chain's tree has this rule."""
        return next(chain for chain in (root, *sorted(self._trees[root])) if rule in self.chains[chain])

    def _with_comments(self) -> bool:
        return self._endpoints <= MOST_ENDPOINTS_WITH_COMMENTS

    def _move(self, changes: Changes) -> set[ServicePort]:
        """File the changed frontends; returns the service ports that they belong, or belonged, to."""
        touched: set[ServicePort] = set()
        for key, (old, new) in changes.frontends.items():
            if key.family is not self._family:
                continue
            if old is not None:
                touched.add(_port(old))
                self._frontends[_port(old)].pop(key)
            if new is not None:
                touched.add(_port(new))
                self._frontends.setdefault(_port(new), {})[key] = new
        return touched

    def _remake(self, gone: frozenset[Chain] = frozenset()) -> Difference:
        """Everything anew, because all chains may read differently now. `gone` are chains that went already."""
        old = self.chains.keys() | gone
        # Whether there are comments depends on how many endpoints there are, and those are counted on the way.
        if len(self._frontends) > MOST_ENDPOINTS_WITH_COMMENTS:
            self._comments = False  # so many service ports will hardly have fewer; if they do, it is found out
        self._make()
        if self._comments != self._with_comments():
            self._comments = self._with_comments()
            self._make()
        return Difference(dict(self.chains), frozenset(old - self.chains.keys()))

    def _make(self) -> None:
        self.chains, self._ports, self._endpoints = skeleton.fixed_chains(self.setting), {}, 0
        self._trees = dict.fromkeys(skeleton.SHARED, frozenset())
        self._rewrite(set(self._frontends))

    def _rewrite(self, touched: Iterable[ServicePort]) -> Difference:
        changed: dict[Chain, Rules] = {}
        gone: set[Chain] = set()
        shared: set[Chain] = set()
        for port in sorted(touched):
            frontends = self._frontends[port]
            old = self._ports.pop(port, _NOTHING)
            new = _NOTHING
            if frontends:
                new = service_port_rules(port, frontends.values(), self.setting, comments=self._comments)
                self._ports[port] = new
            else:
                del self._frontends[port]
            self._endpoints += new.endpoints - old.endpoints
            changed.update({c: r for c, r in new.chains.items() if old.chains.get(c) != r})
            gone |= old.chains.keys() - new.chains.keys()
            shared |= {c for c in skeleton.SHARED if old.shared.get(c, ()) != new.shared.get(c, ())}
        for root, rules in self._shared(shared).items():
            tree = grown(root, rules) if self._options.layout is Layout.TREE else {root: rules}
            changed.update({c: r for c, r in tree.items() if self.chains.get(c) != r})
            gone |= self._trees[root] - tree.keys()
            self._trees[root] = frozenset(tree) - {root}
        if self.chains[skeleton.HEALTH_CHECKS] != self._health_checks:
            changed[skeleton.HEALTH_CHECKS] = self._health_checks
        self.chains |= changed
        for chain in gone:
            del self.chains[chain]
        return Difference(changed, frozenset(gone))

    def _shared(self, wanted: set[Chain]) -> dict[Chain, Rules]:
        """These chains that all service ports add rules to, in the order of their names."""
        lines: dict[Chain, list[str]] = {chain: [] for chain in skeleton.SHARED if chain in wanted}
        if wanted:
            for port in sorted(self._ports):
                for chain, added in self._ports[port].shared.items():
                    if chain in wanted:
                        lines[chain] += added
        if skeleton.SERVICES in wanted:
            lines[skeleton.SERVICES] += skeleton.node_port_jumps(self.setting)
        return {chain: tuple(found) for chain, found in lines.items()}


def _port(frontend: Frontend) -> ServicePort:
    return ServicePort(frontend.service, frontend.key.protocol)
