"""The IPVS mode: virtual servers that choose and translate, and rules that decide who may and where to."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from dataplane.changes import Changes
from dataplane.conntrack import FlowCleaner
from dataplane.errors import InputError
from dataplane.interface import Applied, DataplaneError, Drift
from dataplane.ipvs import kernel, marks, rules, sysctl
from dataplane.ipvs.delivery import Delivery
from dataplane.ipvs.kernel import Ipvs, TakenError
from dataplane.ipvs.programmed import Programmed
from dataplane.ipvs.ruleset import OutgrownError, Ruleset
from dataplane.ipvs.servers import PICKS, SCHEDULERS, Servers, Update
from dataplane.ipvs.where import where
from dataplane.netlink.channel import Channel
from dataplane.nft import dump
from dataplane.nft.audit import audit
from dataplane.nft.plan import Plan
from dataplane.nft.transaction import Transaction
from dataplane.nft.watch import Watch
from dataplane.table import ForwardingTable, FrontendKey, Pick

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long IPVS remembers a connection without packets, in seconds; 0 leaves the kernel's value."""

    tcp: int = 0
    tcp_fin: int = 0
    udp: int = 0


@dataclass(slots=True)
class _State:
    """What the kernel holds."""

    servers: Servers
    rulesets: list[Ruleset]


class IpvsDataplane:
    """Programs the network namespace of the thread that makes it. Used by one thread at a time.

    `scheduler` chooses among real servers. `masquerade_bit`, 0 to 31, and the next one are bits of the connection's
    mark. Raises InputError if there is no such bit or scheduler, and DataplaneError where the kernel has no IPVS.

    The rules change in one transaction; virtual servers before and after it.
    """

    def __init__(self, scheduler: str = "rr", masquerade_bit: int = 14, timeouts: Timeouts | None = None) -> None:
        if not 0 <= masquerade_bit < 32:
            raise InputError(f"masquerade bit {masquerade_bit}: expected 0 to 31, a bit of the connection's mark")
        if scheduler not in SCHEDULERS:
            raise InputError(f"scheduler {scheduler!r}: expected one of {', '.join(SCHEDULERS)}")
        self._scheduler, self._timeouts = scheduler, timeouts or Timeouts()
        self._bits = marks.connection_bits(masquerade_bit)
        self._layers = tuple(rules.LAYERS.values())
        with contextlib.ExitStack() as made:
            self._ipvs = Ipvs()
            made.callback(self._ipvs.close)
            self._programmed = Programmed(self._ipvs)
            try:
                self._delivery = Delivery()
                made.callback(self._delivery.close)
                self._channel = Channel()
                made.callback(self._channel.close)
                self._watch = Watch(*self._layers)
            except OSError as error:
                raise DataplaneError(f"ipvs: not to be used here: {error}") from error
            made.pop_all()
        self._flows = FlowCleaner()
        self._table = ForwardingTable()
        self._applied = False
        self._taken: frozenset[FrontendKey] = frozenset()  # by virtual servers of others
        self._state: _State | None = None  # None: not known, the next apply writes everything

    @property
    def picks(self) -> frozenset[Pick]:
        return frozenset(PICKS)

    def close(self) -> None:
        """Give the sockets back. What is programmed stays."""
        for socket in (self._ipvs, self._delivery, self._channel, self._watch, self._flows):
            socket.close()

    # --- apply --------------------------------------------------------------------------------------------------

    def apply(self, table: ForwardingTable) -> Applied:
        started = time.monotonic()
        changes = Changes.between(self._table, table)
        full, operations = self._program(table, changes)
        self._flows.note(changes)
        # Rules are in force whether or not old flows can be forgotten now.
        deleted, seconds, unfinished = self._flows.try_to_clean(table)
        return Applied(full, operations, time.monotonic() - started, unfinished, deleted, seconds)

    def _program(self, table: ForwardingTable, changes: Changes) -> tuple[bool, int]:
        """Servers and rules. Returns whether all were written, and the number of operations."""
        full, operations = self._state is None or changes.detect_local is not None, 0
        if full or self._state is None:
            operations = self._write_everything(table)
        elif changes:
            try:
                operations = self._write_changes(self._state, table, changes)
            except (OutgrownError, TakenError):
                full, operations = True, self._write_everything(table)
        else:
            with _reading():
                operations = self._programmed.reap()
        self._table, self._applied = table, True
        return full, operations

    def _write_everything(self, table: ForwardingTable) -> int:
        """Whatever is there: virtual servers keep their connections, the tables are written anew in one transaction."""
        self._state = None
        sysctl.set_up()
        transaction = Transaction()
        with _reading():
            self._heed_others(table)
            state, changes = self._fresh(), Changes.between(ForwardingTable(), table)
            update = state.servers.update(changes.frontends)
            self._watch.reset()  # whatever was done to the tables, this repairs it
            servers = self._programmed.read() | update.servers
            operations = self._delivery.set_up()
            if self._timeouts != Timeouts():
                t = self._timeouts
                self._ipvs.carry_out([kernel.timeouts(t.tcp, t.tcp_fin, t.udp)])
            for ruleset in state.rulesets:
                plan = self._plan(ruleset, state, update, changes, table)
                transaction.add_table(ruleset.layer)
                transaction.delete_table(ruleset.layer)
                transaction.add_table(ruleset.layer)
                transaction.carry_out(ruleset.layer, plan)
            operations += self._programmed.prepare(servers)
            self._commit(transaction)
            operations += self._programmed.finish(servers)
        self._state = state
        return operations + transaction.operations

    def _write_changes(self, state: _State, table: ForwardingTable, changes: Changes) -> int:
        self._state = None  # if anything fails from here on, what we know of the kernel is of no use any more
        update = state.servers.update(changes.frontends)
        transaction = Transaction()
        for ruleset in state.rulesets:
            plan = self._plan(ruleset, state, update, changes, table)
            transaction.carry_out(ruleset.layer, plan)
        with _reading():
            operations = self._programmed.prepare(update.servers)
            self._commit(transaction)
            operations += self._programmed.finish(update.servers)
        self._state = state
        return operations + transaction.operations

    def _plan(self, ruleset: Ruleset, state: _State, update: Update, changes: Changes, table: ForwardingTable) -> Plan:
        frontends = {
            key: None if frontend is None else (frontend, state.servers.client_marks(frontend))
            for key, frontend in update.frontends.items()
        }
        return ruleset.update(changes, table, frontends)

    def _commit(self, transaction: Transaction) -> None:
        if transaction:
            with self._watch.writing():
                transaction.commit(self._channel)
                self._watch.committed()

    def _heed_others(self, table: ForwardingTable) -> None:
        before, self._taken = self._taken, self._programmed.others()
        for key in sorted(self._sticky_and_taken(table) - before):
            _log.warning(
                "ipvs: somebody else has a virtual server at %s (%s): it stays, and clients of the Service are not "
                "remembered there, but hashed",
                key,
                table.frontends[key].service,
            )

    def _sticky_and_taken(self, table: ForwardingTable) -> set[FrontendKey]:
        """Where clients would be remembered, were it not for virtual servers of others."""
        free = Servers(self._scheduler)
        found = ((key, table.frontends.get(key)) for key in self._taken)
        return {key for key, frontend in found if frontend and free.remembering_pool(frontend)}

    def _fresh(self) -> _State:
        return _State(Servers(self._scheduler, self._taken), [Ruleset(layer, self._bits) for layer in self._layers])

    # --- looking ------------------------------------------------------------------------------------------------

    def audit(self) -> Drift:
        """Compare the kernel with the table last applied. After drift, the next apply writes everything."""
        state, plans = self._cold()
        drifts = []
        with _reading(), self._watch.looking():
            for layer in self._layers:
                drifts.append(audit(self._channel, layer, plans.get(layer.family) if self._applied else None))
            drifts.append(self._programmed.audit(dict(state.servers.all)))
            if self._applied:
                drifts.append(Drift(missing=self._delivery.missing()))
                freed = sorted(self._sticky_and_taken(self._table) - self._programmed.others())
                drifts.append(
                    Drift(tuple(f"ipvs: virtual server {key}, where nobody else has one now" for key in freed))
                )
        drift = Drift(
            tuple(text for d in drifts for text in d.missing), tuple(text for d in drifts for text in d.foreign)
        )
        if drift:
            self._state = None
        return drift

    def tampered(self) -> bool:
        """Whether somebody else may have changed what is ours. Looks at a few virtual servers, the next ones each time.

        This is asked often, so it is also when real servers go whose last connections have ended.
        """
        with _reading():
            if self._watch.tampered():
                return True
            if self._state is None:
                return False
            self._programmed.reap()
            return self._programmed.look() or not self._delivery.rules_are_there()

    def where(self, key: FrontendKey) -> str:
        frontend = self._table.frontends[key]
        state, _ = self._cold()
        ruleset = next(r for r in state.rulesets if r.layer.family is key.family)
        return where(ruleset, state.servers, frontend)

    def _cold(self) -> tuple[_State, dict[object, Plan]]:
        """What the present table is, and needs, when it is written anew."""
        state, changes = self._fresh(), Changes.between(ForwardingTable(), self._table)
        update = state.servers.update(changes.frontends)
        plans: dict[object, Plan] = {
            ruleset.layer.family: self._plan(ruleset, state, update, changes, self._table) for ruleset in state.rulesets
        }
        return state, plans

    # --- cleanup ------------------------------------------------------------------------------------------------

    def cleanup(self) -> None:
        """Remove our virtual servers, tables and routing. Other virtual servers stay, whoever made them."""
        transaction = Transaction()
        with _reading():
            for layer in self._layers:
                if dump.table_exists(self._channel, layer):
                    transaction.delete_table(layer)
            self._commit(transaction)
            self._programmed.remove_all()
            self._delivery.remove()
        self._state, self._table, self._applied = None, ForwardingTable(), False

    def was_here(self) -> bool:
        """Whether there is anything of this mode."""
        with _reading():
            return any(dump.table_exists(self._channel, layer) for layer in self._layers) or self._programmed.exists()

    def leave(self) -> bool:
        """Take no new connection, but let those that are open end by themselves. Returns whether none was left.

        UDP flows too: their Services are still there, and whoever serves them now forgets what has to be forgotten.
        Then everything is removed. Else what they need stays: virtual servers of weight 0, the rules for packets of
        known connections, the routing. All of it goes with the next call, or `cleanup`.
        """
        nothing = ForwardingTable()
        self._programmed.keep_flows()
        self._program(nothing, Changes.between(self._table, nothing))
        if not self._programmed.is_empty:
            return False
        self.cleanup()
        return True


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataplaneError(f"ipvs: cannot ask the kernel: {error}") from error
