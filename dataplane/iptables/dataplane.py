"""The iptables mode: kube-proxy's chains, written by ``iptables-restore``."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dataplane.changes import Changes
from dataplane.conntrack import FlowCleaner
from dataplane.interface import Applied, DataplaneError, Drift
from dataplane.iptables import sysctl
from dataplane.iptables.audit import audit
from dataplane.iptables.chain import Layout, Options
from dataplane.iptables.command import Iptables
from dataplane.iptables.leaving import leaving
from dataplane.iptables.restore import Restore
from dataplane.iptables.ruleset import Ruleset
from dataplane.iptables.skeleton import HOST_FIREWALL, OUR_OWN, guests
from dataplane.iptables.variant import families
from dataplane.iptables.watch import Fingerprint, Watch, watch
from dataplane.iptables.where import where
from dataplane.table import ForwardingTable, FrontendKey, Pick


@dataclass(slots=True)
class _Side:
    """One family: its programs, what they wrote last, and how the kernel's tables looked then."""

    iptables: Iptables
    watch: Watch | None = None
    ruleset: Ruleset | None = None  # None: not known, the next apply writes everything
    seen: Fingerprint = ()


class IptablesDataplane:
    """Programs the network namespace of the thread that makes it. Used by one thread at a time.

    `variant` is ``legacy`` or ``nft``, as `choose_variant` says. A table of one family is written whole or not at all
    (very many chains by iptables-nft in parts, see `restore`); four transactions (two tables, two families) follow each
    other, so for some milliseconds half of a change is there.
    Without ``ip6tables``, or on a host without IPv6, only IPv4 is programmed.
    """

    def __init__(
        self,
        variant: str,
        mark_bit: int = 14,
        *,
        localhost_node_ports: bool = False,
        layout: Layout = Layout.KUBE_PROXY,
    ) -> None:
        drop_invalid = not sysctl.connection_tracking_is_liberal()
        self.variant = variant
        self._options = Options(1 << mark_bit, localhost_node_ports, drop_invalid, layout)
        self._sides = [_Side(Iptables(variant, family)) for family in families(variant)]
        self._flows = FlowCleaner()
        self._table = ForwardingTable()
        self._applied = False
        self._tampered = False

    def close(self) -> None:
        """Give the sockets back. The rules stay."""
        self._flows.close()
        for side in self._sides:
            if side.watch is not None:
                side.watch.close()
                side.watch = None

    # --- apply --------------------------------------------------------------------------------------------------

    @property
    def picks(self) -> frozenset[Pick]:
        return frozenset({Pick.RANDOM})

    def apply(self, table: ForwardingTable) -> Applied:
        started = time.monotonic()
        full = any(side.ruleset is None for side in self._sides)
        changes = Changes.between(self._table, table)
        self.tampered()  # what others did until now shows for the last time
        try:
            operations = sum(self._bring(side, table, changes) for side in self._sides)
        except DataplaneError:
            # One family may have been written already: next time both are, from what is really there.
            self._forget()
            raise
        finally:
            self._have_seen()
        self._table, self._applied = table, True
        self._flows.note(changes)
        # Rules are in force whether or not old flows can be forgotten now.
        deleted, seconds, unfinished = self._flows.try_to_clean(table)
        return Applied(full, operations, time.monotonic() - started, unfinished, deleted, seconds)

    def _bring(self, side: _Side, table: ForwardingTable, changes: Changes) -> int:
        """One family up to date; returns how much was written."""
        if side.ruleset is None:
            return self._write_everything(side, table)
        if not changes:
            return 0
        before = guests(side.ruleset.setting)
        difference = side.ruleset.update(changes, table)
        if guests(side.ruleset.setting) != before:
            return self._write_everything(side, table)
        return self._write(side, Restore(difference.changed, difference.gone))

    def _write_everything(self, side: _Side, table: ForwardingTable) -> int:
        """Replace whatever is in our chains, delete those that nobody needs, mend the ways that lead to them."""
        side.ruleset = Ruleset.of(table, side.iptables.family, self._options)
        found = side.iptables.save()
        if not self._applied:
            self._flows.note_former(found.udp_frontends(side.iptables.family))
        chains = dict(side.ruleset.chains)
        if side.ruleset.setting.localhost:
            sysctl.route_localnet()
            if HOST_FIREWALL not in found.chains:
                chains[HOST_FIREWALL] = ()
        gone = [chain for chain in found.ours() if chain not in chains]
        visits = [guest for guest in guests(side.ruleset.setting) if not found.has(guest.chain, guest.rule)]
        return self._write(side, Restore(chains, gone, visits))

    def _write(self, side: _Side, restore: Restore) -> int:
        side.iptables.restore(restore.text(side.iptables.most_chains))
        return restore.operations

    def _forget(self) -> None:
        for side in self._sides:
            side.ruleset = None

    # --- looking ------------------------------------------------------------------------------------------------

    def audit(self) -> Drift:
        """Compare the tables with the last one applied. After drift, the next apply writes everything."""
        self._have_seen()
        drifts = []
        for side in self._sides:
            wanted = side.ruleset
            if self._applied and wanted is None:
                wanted = Ruleset.of(self._table, side.iptables.family, self._options)
            drifts.append(audit(side.iptables.name, wanted, side.iptables.save()))
        self._tampered = False
        drift = Drift(tuple(t for d in drifts for t in d.missing), tuple(t for d in drifts for t in d.foreign))
        if drift:
            self._forget()
        return drift

    def tampered(self) -> bool:
        """Whether somebody else may have written rules since the last audit, or apply. Lists nothing."""
        self._tampered |= any(side.seen and self._look(side) != side.seen for side in self._sides)
        return self._tampered

    def _have_seen(self) -> None:
        """What is there now is known, or our own. For both families at once: nf_tables counts the changes of both."""
        for side in self._sides:
            side.seen = self._look(side)

    def _look(self, side: _Side) -> Fingerprint:
        try:
            if side.watch is None:
                side.watch = watch(side.iptables.variant, side.iptables.family)
            return side.watch.look()
        except OSError as error:
            raise DataplaneError(f"{side.iptables.name}: cannot ask for the state of tables: {error}") from error

    def where(self, key: FrontendKey) -> str:
        frontend = self._table.frontends[key]
        side = next((s for s in self._sides if s.iptables.family is key.family), None)
        if side is None:
            raise KeyError(key)
        ruleset = side.ruleset or Ruleset.of(self._table, key.family, self._options)
        return where(side.iptables.name, ruleset, frontend)

    # --- cleanup ------------------------------------------------------------------------------------------------

    def has_chains(self) -> bool:
        """Whether chains are there that are called as this mode's are, whoever wrote them."""
        return any(True for side in self._sides for _ in side.iptables.save().ours())

    def is_ours(self) -> bool:
        """Whether it was this mode, and not kube-proxy, that wrote the chains which are there."""
        return any(side.iptables.save().has(*OUR_OWN) for side in self._sides)

    def cleanup(self) -> None:
        """Remove this mode's chains, whoever wrote them, and the rules that lead to them. Other rules stay."""
        for side in self._sides:
            self._write(side, leaving(side.iptables.save()))
            side.seen = ()
        self._forget()
        self._table, self._applied, self._tampered = ForwardingTable(), False, False
