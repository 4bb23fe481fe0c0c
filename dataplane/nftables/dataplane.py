"""The nftables mode: tables ``ip svcplane`` and ``ip6 svcplane``, over netlink, in one transaction per apply."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dataplane.changes import Changes
from dataplane.conntrack import FlowCleaner
from dataplane.errors import InputError
from dataplane.interface import Applied, DataplaneError, Drift
from dataplane.netlink.channel import Channel
from dataplane.nft import dump
from dataplane.nft.audit import audit, signature
from dataplane.nft.elements import Element
from dataplane.nft.kernel import TABLE_DORMANT
from dataplane.nft.layer3 import IPV4, IPV6, LAYERS, Layer3
from dataplane.nft.plan import Plan, Relocation
from dataplane.nft.transaction import RefusedError, Transaction
from dataplane.nft.watch import Watch
from dataplane.nftables import remembering, skeleton
from dataplane.nftables.frontends import key_of, removed
from dataplane.nftables.ruleset import OutgrownError, Ruleset
from dataplane.nftables.where import where
from dataplane.table import ForwardingTable, FrontendKey, Pick, Protocol

_LAYERS = (IPV4, IPV6)


@dataclass(slots=True)
class _Family:
    """One family's table: what it holds, and what is left to do in it once its rules are in force.

    That is to move remembered clients to the maps where they belong, and to delete what is empty. Either may have to
    wait, and is tried again by each apply.
    """

    ruleset: Ruleset
    relocations: dict[str, Relocation] = field(default_factory=dict)
    unused_chains: set[str] = field(default_factory=set)
    unused_sets: set[str] = field(default_factory=set)

    def relocate(self, plan: Plan) -> None:
        """Note what the plan asks for. Clients that wait since an earlier plan go where they belong after this one."""
        if self.relocations:
            known = self.ruleset.relocations()
            self.relocations = {name: known.get(name, old) for name, old in self.relocations.items()}
        self.relocations |= plan.relocations


class NftablesDataplane:
    """Programs the network namespace of the thread that makes it. Used by one thread at a time.

    `mark_bit`, 0 to 31, is the bit of the packet mark that asks for masquerading (kube-proxy's
    ``--iptables-masquerade-bit``); no other rules of the host may use it. Raises InputError if there is no such
    bit, and DataplaneError if nftables cannot be reached.
    """

    def __init__(self, mark_bit: int = 14) -> None:
        if not 0 <= mark_bit < 32:
            raise InputError(f"masquerade bit {mark_bit}: expected 0 to 31, a bit of the packet mark")
        self._mark = 1 << mark_bit
        try:
            self._channel = Channel()
            self._watch = Watch(*_LAYERS)
        except OSError as error:
            raise DataplaneError(f"nftables: not to be used here: {error}") from error
        self._flows = FlowCleaner()
        self._table = ForwardingTable()
        self._applied = False
        self._families: dict[Layer3, _Family] | None = None  # None: not known, the next apply writes everything

    def close(self) -> None:
        """Give the sockets back. The rules stay."""
        self._channel.close()
        self._watch.close()
        self._flows.close()

    # --- apply --------------------------------------------------------------------------------------------------

    @property
    def picks(self) -> frozenset[Pick]:
        return frozenset({Pick.RANDOM})

    def apply(self, table: ForwardingTable) -> Applied:
        started = time.monotonic()
        full, operations = False, 0
        changes = Changes.between(self._table, table)
        self._flows.note(changes)
        if self._families is None or changes.detect_local is not None:
            full, operations = True, self._write_everything(table)
        elif changes:
            try:
                operations = self._write_changes(table, changes)
            except OutgrownError:
                full, operations = True, self._write_everything(table)
        # The rules are in force, whether or not all the rest can be done now.
        clients_left, unused_left = self._try_to_relocate(), self._try_to_delete_unused()
        deleted, seconds, flows_left = self._flows.try_to_clean(table)
        unfinished = "; ".join(filter(None, (clients_left, unused_left, flows_left)))
        return Applied(full, operations, time.monotonic() - started, unfinished, deleted, seconds, bool(unused_left))

    def _write_everything(self, table: ForwardingTable) -> int:
        """Replace whatever is in the tables by this, in one transaction. Clients that are remembered stay so."""
        self._families = None
        changes = Changes.between(ForwardingTable(), table)
        families = {layer: _Family(Ruleset(layer, table.detect_local, self._mark)) for layer in _LAYERS}
        transaction = Transaction()
        with _reading():
            self._watch.reset()  # whatever was done to the tables, this repairs it
            for layer, family in families.items():
                plan = family.ruleset.update(changes, table)
                kept = self._clear(transaction, layer, family, plan)
                transaction.carry_out(layer, plan, kept)
                self._tell_of_removed(transaction, layer, table)
                known = family.ruleset.relocations()
                family.relocations = {n: r for n, r in known.items() if n not in plan.new_sets or n in kept}
        self._commit(transaction)
        self._families, self._table, self._applied = families, table, True
        return transaction.operations

    def _clear(self, transaction: Transaction, layer: Layer3, family: _Family, plan: Plan) -> dict[str, list[Element]]:
        """Empty the table as far as it exists. What the plan needs not create is taken out of it.

        Returns the elements that affinity maps begin with, if they must be made anew.
        """
        transaction.add_table(layer)
        flags = dump.table_flags(self._channel, layer)
        if flags is None:
            return {}
        if flags & TABLE_DORMANT:
            # Kernels differ in what a transaction may do that wakes a table; all can make another one.
            transaction.delete_table(layer)
            transaction.add_table(layer)
            return {}
        transaction.flush_table(layer)
        kept: dict[str, list[Element]] = {}
        sets = dump.sets(self._channel, layer)
        if not self._applied:
            self._flows.note_former(self._programmed_before(layer, plan, sets))
        for name, found in sets.items():
            spec = plan.new_sets.get(name)
            if spec is not None and spec.timeout:
                wanted = signature(layer, spec)
                if found == wanted:
                    del plan.new_sets[name]
                    continue
                if found._replace(timeout=wanted.timeout) == wanted:
                    entries = dump.set_elements(self._channel, layer, name)
                    kept[name] = remembering.with_timeout(entries, found.timeout, wanted.timeout)
            transaction.delete_set(layer, name)
        for name, base in dump.chains(self._channel, layer).items():
            chain = plan.new_chains.get(name)
            if chain is None:
                family.unused_chains.add(name)
            elif base != chain.base:
                transaction.delete_chain(layer, name)
        return kept

    def _programmed_before(
        self, layer: Layer3, plan: Plan, found: Mapping[str, dump.SetSignature]
    ) -> Iterator[FrontendKey]:
        """The frontends whose flows an agent before this one may have had to forget: those that it has (which of the
        SCTP ones, it does not tell) or removed. Where it refuses new flows, old ones may have gone on.
        """
        node_ports = (skeleton.NODE_PORTS, skeleton.REFUSED_NODE_PORTS)
        for name in (skeleton.SERVICES, skeleton.REFUSED_SERVICES, *node_ports, skeleton.REMOVED):
            if found.get(name) == signature(layer, plan.new_sets[name]):
                for element in dump.set_elements(self._channel, layer, name):
                    key = key_of(layer, element.key, name in node_ports)
                    if name == skeleton.REMOVED or key.protocol is Protocol.UDP:
                        yield key

    def _write_changes(self, table: ForwardingTable, changes: Changes) -> int:
        assert self._families is not None
        # If anything fails from here on, what we know of the kernel is of no use any more.
        families, self._families = self._families, None
        transaction = Transaction()
        plans: dict[Layer3, Plan] = {}
        with _reading():
            for layer, family in families.items():
                plan = plans[layer] = family.ruleset.update(changes, table)
                for name in family.unused_sets & plan.new_sets.keys():
                    transaction.delete_set(layer, name)  # back again, perhaps with another size
                family.unused_sets -= plan.new_sets.keys()
                family.unused_chains -= plan.new_chains.keys()
                transaction.carry_out(layer, plan, self._entries_of_changed(layer, plan))
                self._tell_of_removed(transaction, layer, table)
        self._commit(transaction)
        for layer, family in families.items():
            family.unused_chains |= plans[layer].gone_chains.keys()
            family.unused_sets |= plans[layer].gone_sets.keys()
            family.relocate(plans[layer])
        self._families, self._table = families, table
        return transaction.operations

    def _tell_of_removed(self, transaction: Transaction, layer: Layer3, table: ForwardingTable) -> None:
        """Together with the rules: whoever ends this agent before it has forgotten the flows ends nothing else."""
        gone = (k for k in self._flows.pending if k.family is layer.family and k not in table.frontends)
        transaction.add_elements(layer, skeleton.REMOVED, removed(sorted(gone)))

    def _entries_of_changed(self, layer: Layer3, plan: Plan) -> dict[str, list[Element]]:
        """The remembered clients of maps that get another timeout, with the time they have left under it."""
        if not plan.changed_sets:
            return {}
        found = dump.sets(self._channel, layer)
        return {
            name: remembering.with_timeout(
                dump.set_elements(self._channel, layer, name), found[name].timeout, spec.timeout * 1000
            )
            for name, spec in plan.changed_sets.items()
            if name in found
        }

    def _commit(self, transaction: Transaction) -> None:
        if transaction:
            with _reading(), self._watch.writing():
                transaction.commit(self._channel)
                self._watch.committed()

    def _try_to_relocate(self) -> str:
        """Put remembered clients where they belong now. What has to wait, in one line; "" if nothing does."""
        for layer, family in self._known_families().items():
            if not family.relocations:
                continue
            try:
                with _reading(), self._watch.writing():
                    self._watch.committed(remembering.relocate(self._channel, layer, family.relocations))
            except DataplaneError as error:
                return f"nftables: remembered clients of {len(family.relocations)} maps cannot be moved yet: {error}"
            family.relocations.clear()
        return ""

    def _try_to_delete_unused(self) -> str:
        """Chains and sets that a transaction has emptied. What has to wait, in one line; "" if nothing does."""
        transaction = Transaction()
        families = self._known_families()
        for layer, family in families.items():
            for name in family.unused_chains:
                transaction.delete_chain(layer, name)
            for name in family.unused_sets - family.relocations.keys():
                transaction.delete_set(layer, name)
        try:
            self._commit(transaction)
        except DataplaneError as error:
            if not isinstance(error, RefusedError) or error.code != errno.EBUSY:
                self._families = None  # somebody else was here: look at everything next time
            # Busy: some kernels need a moment until they know that nothing refers to it any more.
            return f"what is not used any more cannot be removed yet: {error}"
        for family in families.values():
            family.unused_chains.clear()
            family.unused_sets &= family.relocations.keys()
        return ""

    def _known_families(self) -> dict[Layer3, _Family]:
        assert self._families is not None
        return self._families

    # --- looking ------------------------------------------------------------------------------------------------

    def audit(self) -> Drift:
        """Compare the kernel's tables with the last one applied. After drift, the next apply writes everything."""
        drifts = []
        with _reading(), self._watch.looking():
            for layer in _LAYERS:
                plan = self._cold(layer)[1] if self._applied else None
                drifts.append(audit(self._channel, layer, plan))
        drift = Drift(
            tuple(text for d in drifts for text in d.missing), tuple(text for d in drifts for text in d.foreign)
        )
        if drift:
            self._families = None
        return drift

    def tampered(self) -> bool:
        """Whether somebody else may have changed our tables since the last audit or full apply. Lists nothing."""
        with _reading():
            return self._watch.tampered()

    def where(self, key: FrontendKey) -> str:
        frontend = self._table.frontends[key]
        layer = LAYERS[key.family]
        ruleset = self._families[layer].ruleset if self._families else self._cold(layer)[0]
        return where(layer, ruleset, frontend)

    def _cold(self, layer: Layer3) -> tuple[Ruleset, Plan]:
        """What the present table is, and needs, when it is written anew."""
        ruleset = Ruleset(layer, self._table.detect_local, self._mark)
        return ruleset, ruleset.update(Changes.between(ForwardingTable(), self._table), self._table)

    # --- cleanup ------------------------------------------------------------------------------------------------

    def cleanup(self) -> None:
        """Delete both tables, whoever wrote them."""
        transaction = Transaction()
        with _reading():
            for layer in _LAYERS:
                if dump.table_exists(self._channel, layer):
                    transaction.delete_table(layer)
        self._commit(transaction)
        self._families, self._table, self._applied = None, ForwardingTable(), False


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataplaneError(f"nftables: cannot read the ruleset: {error}") from error
