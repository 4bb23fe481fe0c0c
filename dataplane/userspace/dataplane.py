"""The userspace mode: rules that bring packets of Services to the C engine, which translates them.

    steering    which packets, as rules          port      the kernel's queues
    steered     what those rules hold            engine    what becomes of each packet
    host        what depends on this host        xdp       a shorter way, for interfaces that have it

The kernel routes what comes back. The engine's threads need no Python: packets flow while a table is compiled, and
while the agent is busy with anything else.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dataplane.interface import Applied, DataplaneError, Drift
from dataplane.netlink.channel import Channel
from dataplane.nft import dump
from dataplane.nft.audit import audit
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import Chain
from dataplane.nft.plan import Plan
from dataplane.nft.statements import rule
from dataplane.nft.transaction import RefusedError, Transaction
from dataplane.nft.watch import Watch
from dataplane.packets import Packets, PortPackets
from dataplane.table import DetectLocal, Endpoint, ForwardingTable, FrontendKey, Pick
from dataplane.userspace import host, steering
from dataplane.userspace.answering import Answering
from dataplane.userspace.engine import GONE, Engine
from dataplane.userspace.flows import Tally
from dataplane.userspace.handed_over import hand_over
from dataplane.userspace.held import User
from dataplane.userspace.limits import LINUX_TIMEOUTS, Limits
from dataplane.userspace.memory import RUN, Memory, default_folder, forget, left_behind, remove_abandoned
from dataplane.userspace.port import OUTSIDE, PODS, Port, PortCounters, nfqueue_port
from dataplane.userspace.queue_reader import QueueReader, package
from dataplane.userspace.steered import Steered
from dataplane.userspace.taken_over import connections
from dataplane.userspace.xdp.options import XdpOptions
from dataplane.userspace.xdp.port import XdpPort
from native.library import lib

_log = logging.getLogger(__name__)

FIRST_QUEUE = 30720
"""Number of the first packet queue; programs that read queues without being told begin at 0."""

QUEUE_LENGTH, OPENING_LENGTH = 4096, 1024
"""Packets that may wait in each queue, and in those for what opens connections: at 200,000 a second, the last of them
waits 20 ms. A SYN is sent again after a second at the earliest; there should be room for as many as come at once."""

_MOST_QUEUES = 4

_OUTCOMES = ("forwarded", "passed", "answered", "dropped", "lost")  # in PortCounters


class UserspaceDataplane:
    """Serves the network namespace of the thread that makes it. Used by one thread at a time.

    `queues` is how many packet queues, and threads, there are: by default one for each processor, up to four.
    With `xdp`, what comes in by the interfaces that it names goes from there to the engine and out again, in a thread
    of its own; the queues get the rest: what this host sends, and what comes in elsewhere.
    `folder` is where flows are kept, for the next one to go on with after `close`, or when the process was killed.
    `in_python` has one queue read packet by packet in Python, to be read and compared with (queue_reader.py).
    DataplaneError if the kernel has no nf_tables, or nothing that sends packets to a queue; InputError if there can be
    no AF_XDP, or nothing to read packets in Python with.
    """

    def __init__(
        self,
        queues: int = 0,
        limits: Limits | None = None,
        xdp: XdpOptions | None = None,
        folder: Path | None = None,
        in_python: bool = False,
    ) -> None:
        if in_python:
            package()  # to fail now, if it does
            queues = 1
        self._in_python = in_python
        self._readers: list[QueueReader] = []
        self._queues = queues or min(len(os.sched_getaffinity(0)), _MOST_QUEUES)
        try:
            self._channel = Channel()
            self._watch = Watch(*steering.LAYERS.values())
        except OSError as error:
            raise DataplaneError(f"userspace: nf_tables is not to be used here: {error}") from error
        self._waiting = self._find_queue_statements()
        self._limits, self._folder = limits, folder or default_folder()
        if xdp:
            xdp.port(DetectLocal()).close()  # to fail now, if it does
        self._xdp_options = xdp
        self._xdp: XdpPort | None = None
        self._engine: Engine | None = None
        self._answering: Answering | None = None
        self._recovered = False
        self._steered = Steered(self._is_busy)
        self._sizes: dict[tuple[Layer3, str], int] = {}
        self._known = False  #: what is written is what `_steered` says
        self._applied = False

    @property
    def picks(self) -> frozenset[Pick]:
        return frozenset(Pick)

    def close(self) -> None:
        """End the threads, each after the batch it is at, and give everything back. Rules and flows stay."""
        self._close_engine()
        self._channel.close()
        self._watch.close()

    # --- apply --------------------------------------------------------------------------------------------------

    def apply(self, table: ForwardingTable) -> Applied:
        started = time.monotonic()
        before = self.engine.table
        self.engine.set_host(host.this_host())
        if self._xdp:
            self._xdp.steer(table, self.engine.host, self._is_busy)
        applied = self.engine.apply(table)
        try:
            self._start(before, table)
            full, operations = self._steer(table)
        except DataplaneError:
            self._known = False
            self.engine.apply(before)
            raise
        self._applied = True
        return Applied(full, applied.operations + operations, time.monotonic() - started)

    def _start(self, before: ForwardingTable, table: ForwardingTable) -> None:
        """See that the threads run, know where pods are, and know the connections there were."""
        failure = self._failure()
        if failure:
            _log.error("packets were not read any more (%s): beginning again", failure)
        if (self.engine.ports or self._readers) and not failure and table.detect_local == before.detect_local:
            return
        self._stop()
        host.accept_translated_sources()
        self.engine.name_interfaces({OUTSIDE: "", PODS: table.detect_local.interface})
        threads: list[list[Port]] = []
        try:
            if self._xdp_options:
                self._xdp = self._xdp_options.port(table.detect_local)
                threads.append([self._xdp])
            for pair in () if self._in_python else self._pairs():
                threads.append([])
                for number, length in pair:
                    threads[-1].append(nfqueue_port(number, length, table.detect_local))
        except DataplaneError:
            for port in itertools.chain(*threads):
                port.close()
            raise
        # Now nobody else has the queues, so what another engine knew will not change any more.
        if not self._recovered:
            others = not self.engine.has_predecessor
            for flow in self.engine.recover():
                self._steered.keep(flow.frontend, flow.backend, GONE)
                if self._xdp:
                    self._xdp.keep(flow.frontend, flow.backend, GONE, self.engine.host)
            if others:
                self._take_over(table)
            self._recovered = True
        if self._xdp:
            self._xdp.steer(table, self.engine.host, self._is_busy)
        self.engine.start(*threads)
        if self._in_python:
            try:
                for number, length in itertools.chain(*self._pairs()):
                    self._readers.append(QueueReader(self.engine, number, length, table.detect_local))
            except DataplaneError:
                self._stop()
                raise
        if self._xdp:
            try:
                with _reading():
                    self._xdp.begin()
            except DataplaneError:
                self._stop()
                raise
        if self._answering is None:
            try:
                self._answering = Answering(self.engine, self._folder)
            except OSError as error:
                _log.error("nobody can ask for flows: no socket can be made in %s: %s", self._folder, error)

    def _pairs(self) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Numbers and lengths of the packet queues, those that take turns together."""
        for number in range(FIRST_QUEUE, FIRST_QUEUE + self._queues):
            yield (number, QUEUE_LENGTH), (number + self._queues, OPENING_LENGTH)

    def _take_over(self, table: ForwardingTable) -> None:
        """Know the connections that the kernel translates, if no engine was here before: then it was another mode."""
        try:
            count = self.engine.restore(connections(table, self.engine.host), lib.worker_now() / 1000)
        except OSError as error:
            _log.warning("connections of the mode before this one end: the connection table can't be read: %s", error)
        else:
            if count:
                _log.info("%d connections that the kernel translated until now are the engine's", count)

    def _stop(self) -> None:
        while self._readers:
            self._readers.pop().close()
        self.engine.stop()
        self._xdp = None

    def _steer(self, table: ForwardingTable) -> tuple[bool, int]:
        """Have the rules bring what the table needs. Returns whether everything was written, and how much."""
        old = self._steered.table
        plans = self._steered.update(table)
        same_chains = (old.service_cidrs, _any_address(old)) == (table.service_cidrs, _any_address(table))
        grown = any(self._steered.counts[place] > size for place, size in self._sizes.items())
        if self._known and same_chains and not grown:
            return False, self._write(plans)
        return True, self._write_everything(table)

    def _write(self, plans: dict[Layer3, Plan]) -> int:
        transaction = Transaction()
        for layer, plan in plans.items():
            transaction.carry_out(layer, plan)
        self._known = False
        self._commit(transaction)
        self._known = True
        return transaction.operations

    def _write_everything(self, table: ForwardingTable) -> int:
        transaction = Transaction()
        plans = self._cold(table)
        with _reading():
            self._watch.reset()  # whatever was done to the tables, this repairs it
            for layer, plan in plans.items():
                transaction.add_table(layer)
                transaction.delete_table(layer)
                transaction.add_table(layer)
                transaction.carry_out(layer, plan)
        self._commit(transaction)
        sizes = ((layer, spec) for layer, plan in plans.items() for spec in plan.new_sets.values())
        self._sizes = {(layer, spec.name): spec.size for layer, spec in sizes}
        self._known = True
        return transaction.operations

    def _cold(self, table: ForwardingTable) -> dict[Layer3, Plan]:
        plans = self._steered.everything()
        for layer, plan in plans.items():
            plan.new_chains = {chain.name: chain for chain in steering.chains(layer, table, self._waiting)}
        return plans

    def _commit(self, transaction: Transaction) -> None:
        if transaction:
            with _reading(), self._watch.writing():
                transaction.commit(self._channel)
                self._watch.committed()

    def _is_busy(self, user: User) -> bool:
        return self.engine.active(*user) > 0

    @property
    def engine(self) -> Engine:
        """The engine; made when it is first asked for."""
        if self._engine is None:
            remove_abandoned(RUN)
            memory = Memory(self._folder)
            self._engine = Engine(
                host.this_host(),
                limits=self._limits,
                timeouts=LINUX_TIMEOUTS,
                answers=host.answer_rates(),
                memory=memory,
            )
        return self._engine

    def _failure(self) -> str:
        failures = [self._engine.failure()] if self._engine is not None else []
        return next(filter(None, [*failures, *(reader.failure for reader in self._readers)]), "")

    def _close_engine(self) -> None:
        if self._answering is not None:
            self._answering.close()
            self._answering = None
        if self._engine is not None:
            self._stop()
            self._engine.close()
        self._engine, self._recovered = None, False

    def _find_queue_statements(self) -> steering.Queues:
        """nf_tables' own, or iptables' where the kernel has not the former: tried in a table that never is there."""
        refused: DataplaneError | None = None
        for statements in (steering.queues, steering.queues_by_xtables):
            made = statements(FIRST_QUEUE, self._queues)
            trial = Transaction()
            layer = next(iter(steering.LAYERS.values())).with_table(f"{steering.TABLE}-trial")
            chain = Chain("trial", tuple(map(rule, itertools.chain(*made))))
            trial.add_table(layer)
            trial.add_chain(layer, chain)
            trial.add_rules(layer, chain)
            trial.delete_table(layer)
            try:
                trial.commit(self._channel)
                return made
            except RefusedError as error:
                refused = error
        raise DataplaneError(
            f"userspace: this kernel sends no packets to queues (CONFIG_NFT_QUEUE or CONFIG_NFT_COMPAT with "
            f"CONFIG_NETFILTER_XT_TARGET_NFQUEUE): {refused}"
        )

    # --- looking ------------------------------------------------------------------------------------------------

    def audit(self) -> Drift:
        """Compare the rules with what they should be. The engine's memory is this process's own."""
        plans = self._cold(self._steered.table) if self._applied else dict.fromkeys(steering.LAYERS.values())
        with _reading(), self._watch.looking():
            drifts = [audit(self._channel, layer, plan) for layer, plan in plans.items()]
        missing = [text for drift in drifts for text in drift.missing]
        if failure := self._failure():
            missing.append(f"a thread that reads packets: {failure}")
        drift = Drift(tuple(missing), tuple(text for d in drifts for text in d.foreign))
        if drift:
            self._known = False
        return drift

    def tampered(self) -> bool:
        """Whether somebody else may have changed the rules since the last audit, or a thread has ended.

        What rules hold for connections that have ended meanwhile is removed on this occasion.
        """
        with suppress(OSError):
            os.utime(self._folder)  # for `remove_abandoned`: it was in use until now
        if self._known:
            self._write(self._steered.prune())
        with _reading():
            return self._watch.tampered() or bool(self._failure())

    def where(self, key: FrontendKey) -> str:
        """What the engine knows of a frontend, and the rules that bring it packets."""
        text = self.engine.where(key)
        layer = steering.LAYERS[key.family]
        chains = steering.chains(layer, self._steered.table, self._waiting)
        taking = "\n".join(chain.text for chain in chains if chain.name in steering.TAKING)
        return f"{text}\n\ntable {layer} {layer.table}\n{taking}"

    def tallies(self) -> dict[tuple[str, Endpoint], Tally]:
        """What was counted since the engine began; nothing before. From any thread."""
        return self._engine.tallies() if self._engine is not None else {}

    def packets(self) -> Packets | None:
        """From any thread."""
        engine = self._engine
        if engine is None:
            return None
        counters = engine.counters
        ports = (
            PortPackets(name, {o: getattr(of, o) for o in _OUTCOMES}, of.bytes, of.missed, of.errors)
            for name, of in (engine.port_counters() | self._reader_counters()).items()
        )
        drops = {reason.name.lower(): count for reason, count in counters.reasons.items()}
        flows = counters.flows
        return Packets(
            tuple(ports),
            drops,
            flows["used"],
            engine.limits.flows,
            flows["evicted"],
            engine.port_ways(),
            counters.clients["refused"],
            engine.without_maglev,
        )

    def _reader_counters(self) -> dict[str, PortCounters]:
        return {reader.name: reader.counters for reader in list(self._readers)}

    def cleanup(self) -> None:
        """Remove the rules and forget all flows."""
        self._close_engine()
        with self._watch.writing():
            remove_userspace(self._folder)
        self._steered = Steered(self._is_busy)
        self._known = self._applied = False

    def leave(self) -> None:
        """As `cleanup`, but connections go on, by the rules of another mode, which must be in force."""
        self._close_engine()
        with self._watch.writing():
            leave_userspace(self._steered.table, self._folder)
        self.cleanup()


def remove_userspace(folder: Path | None = None) -> None:
    """Remove the rules, and what is kept of flows, of whoever ran this mode here before. Needs no queues."""
    transaction = Transaction()
    with _reading(), Channel() as channel:
        for layer in steering.LAYERS.values():
            if dump.table_exists(channel, layer):
                transaction.delete_table(layer)
        if transaction:
            transaction.commit(channel)
    forget(folder or default_folder())


def leave_userspace(table: ForwardingTable, folder: Path | None = None) -> None:
    """As `remove_userspace`, but connections go on: the kernel is told of them.

    The rules of another mode, for this table, must be in force, and the engine must run no more.
    """
    flows = list(left_behind(folder or default_folder()))
    if flows:
        try:
            kept, refused = hand_over(flows, table)
        except OSError as error:
            kept, refused = 0, f"the kernel can't be told of them: {error}"
        _log.info("the kernel goes on with %d of the engine's %d connections", kept, len(flows))
        if refused:
            _log.warning("connections of mode userspace end: %s", refused)
    remove_userspace(folder)


def _any_address(table: ForwardingTable) -> frozenset[str]:
    return table.node_addresses & {family.any_address for family in steering.LAYERS}


@contextmanager
def _reading() -> Iterator[None]:
    """Whatever goes wrong with the sockets is a DataplaneError."""
    try:
        yield
    except OSError as error:
        raise DataplaneError(f"userspace: cannot talk to nf_tables: {error}") from error
