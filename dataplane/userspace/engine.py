"""The C engine as a Dataplane: tables go in by `apply`, packets by `run` or `send`.

with Engine(host=Host(addresses, egress), seed=7) as engine:
    engine.apply(table)
    result = engine.send(packet, now=0.0, interface="veth0")
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

import msgspec

from dataplane.changes import Changes
from dataplane.fake import describe
from dataplane.interface import Applied, DataplaneError, Drift
from dataplane.table import Endpoint, Family, Forward, ForwardingTable, Frontend, FrontendKey, Pick
from dataplane.userspace.batch import Batch, Link
from dataplane.userspace.flows import Counters, Flow, Tally
from dataplane.userspace.image import Host, Image, Surroundings, encode, unpacked
from dataplane.userspace.limits import LINUX_ANSWERS, RFC_TIMEOUTS, AnswerRates, Limits, Timeouts
from dataplane.userspace.memory import Memory
from dataplane.userspace.owners import Owners
from dataplane.userspace.port import Port, PortCounters
from dataplane.userspace.result import CLIENTS, OUTCOMES, REASONS, RULES, Result
from dataplane.userspace.saved import Saved, SavedClient, SavedFlow
from dataplane.userspace.structures import (
    backend_of,
    errors,
    fields,
    flow_of,
    native_client,
    native_config,
    native_flow,
    native_name,
    saved_flow,
    tally_of,
)
from native.library import ffi, lib

_log = logging.getLogger(__name__)

ALL = 0xFFFFFFFF
"""However many entries there are."""

ROOM_FOR_ANSWER = 48
"""Bytes by which the answer to a rejected packet can be longer: an IPv6 header and one of ICMP."""

GONE = ("", Endpoint("0.0.0.0", 0))
"""What connections are counted for, after a restart, whose backend no table has any more."""

_FLOWS_AT_ONCE = 1024
_NOTHING = Changes()


class Engine:
    """One worker: used by one thread at a time. Close it, or use it in a `with` statement, to give its memory back.

    `seed` repeats a run exactly; without one, hashes and choices are unpredictable, as they must be where others
    can send packets. `host` may be replaced at any time by `set_host`.
    """

    def __init__(
        self,
        host: Host | None = None,
        *,
        limits: Limits | None = None,
        timeouts: Timeouts = RFC_TIMEOUTS,
        answers: AnswerRates = LINUX_ANSWERS,
        pick: Pick = Pick.RANDOM,
        seed: int | None = None,
        memory: Memory | None = None,
    ) -> None:
        """DataplaneError if there is not enough memory for the limits.

        With `memory`, which is the engine's from now on, flows and clients are kept where the next engine finds them.
        """
        self._limits = limits or Limits()
        self._native: Any = lib.engine_create(native_config(self._limits, timeouts, answers, seed))
        if not self._native:
            raise DataplaneError(
                f"cannot make an engine with {self._limits} and {answers}: a limit or rate of 0, or not enough memory"
            )
        self._memory = memory
        if memory is not None:
            memory.attach(self._native)
        self._worker: Any = None
        # Held while the worker or the ports are used, so that others than the engine's own thread may look at them.
        self._looking = threading.RLock()
        self._ports: tuple[Port, ...] = ()
        self._pick = pick
        self._interfaces: dict[str, int] = {}
        self._owners = Owners(self._owners_in_use)
        self._around = Surroundings(ForwardingTable(), host or Host())
        self._frontends: list[Frontend | None] = []  # by their positions in its tables
        self._full = True  # the next table must be written whole
        self._without_maglev = 0
        self._change(self._around)
        self._full = True  # for the first that is applied

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give all memory back. Everything but this raises ValueError afterwards."""
        self.stop()
        lib.engine_destroy(self._native)
        self._native = ffi.NULL
        if self._memory is not None:
            self._memory.close()

    # Tables

    @property
    def picks(self) -> frozenset[Pick]:
        return frozenset(Pick)

    def apply(self, table: ForwardingTable) -> Applied:
        """Put a table in force, between two batches. Flows and affinity that it ends are forgotten at once.

        Costs as much as the table differs from the one before.
        """
        started = time.monotonic()
        around = replace(self._around, table=table)
        if self._full:
            self._change(around)
            return Applied(True, len(table.frontends), time.monotonic() - started)
        changes = Changes.between(self.table, table)
        if not changes:
            return Applied(False, 0, time.monotonic() - started)
        full = self._change(around, changes, _addresses_of(changes, self.host))
        return Applied(full, len(changes.frontends), time.monotonic() - started)

    def set_host(self, host: Host) -> None:
        """The node's addresses may have changed."""
        before = self._around.host
        if host == before:
            return
        touched = before.addresses | host.addresses | self.table.node_addresses
        self._change(replace(self._around, host=host), touched=touched)

    def interface(self, name: str) -> int:
        """The number for packets that come in on this interface; 0 stands for the host itself."""
        interfaces = self._around.interfaces
        if name not in self._interfaces:
            number = len(interfaces) + 1
            if number == lib.SERVICE_INTERFACES:
                raise DataplaneError(f"the engine has no room for more than {number - 1} interfaces")
            self._change(replace(self._around, interfaces=(*interfaces, name)))
            self._interfaces[name] = number
        return self._interfaces[name]

    def name_interfaces(self, names: Mapping[int, str]) -> None:
        """Packets with these numbers come in on interfaces of these names, as far as the table's rule about local
        pods can tell. For ports, which have numbers of their own; the others are `interface`'s to give."""
        self._interfaces = {name: number for number, name in sorted(names.items())}
        by_number = tuple(names.get(number, "") for number in range(1, max(names, default=0) + 1))
        self._change(replace(self._around, interfaces=by_number))

    def active(self, service: str, endpoint: Endpoint) -> int:
        """How many flows of a service port go to one of its endpoints now."""
        name = native_name(self._owners.number_of(service), endpoint)
        number = lib.names_find(ffi.addressof(self._engine.names, "tallies"), name)
        return int(self._engine.flows.tallies[number].active) if number else 0

    def audit(self) -> Drift:
        """Never any: the memory is this process's own."""
        return Drift()

    def tampered(self) -> bool:
        """Never."""
        return False

    def cleanup(self) -> None:
        """Serve nothing new. Flows of TCP and SCTP go on until they end."""
        self._full = True
        self._change(replace(self._around, table=ForwardingTable()))
        self._full = True

    def where(self, key: FrontendKey) -> str:
        """The frontend in one line, and a line for each of its backends with what was counted. KeyError if none."""
        frontend = self.table.frontends[key]
        lines = [describe(frontend)]
        tallies = self.tallies()
        for endpoint in dict.fromkeys(b.endpoint for pool in frontend.pools for b in pool.backends):
            tally = tallies[frontend.service, endpoint]
            lines.append(
                f"  {endpoint}: {tally.connections} connections ({tally.active} now), "
                f"{tally.packets_to} packets to it and {tally.packets_from} from it"
            )
        return "\n".join(lines)

    # Threads

    def start(self, *threads: Sequence[Port]) -> None:
        """Carry packets between ports and the engine from now on: a thread for each list of ports (native/worker.h).

        What they carry needs no Python. Until `stop`, `run` and `send` must not be called; all else may. The ports
        are the engine's until then.
        """
        worker = lib.worker_create(self._engine)
        error = 0 if worker else -errno.ENOMEM
        for ports in threads:
            error = error or lib.worker_add(worker, [port.native for port in ports], len(ports))
        error = error or lib.worker_start(worker)
        if error:
            lib.worker_destroy(worker)
            raise DataplaneError(f"cannot start the threads of the engine: {os.strerror(-error)}")
        with self._looking:
            self._worker, self._ports = worker, tuple(port for ports in threads for port in ports)

    def stop(self) -> None:
        """End the threads, each after the batch it is at, and close the ports. Nothing happens if none run."""
        with self._looking:
            if self._worker is not None:
                lib.worker_destroy(self._worker)
                self._worker = None
            for port in self._ports:
                port.close()
            self._ports = ()

    @property
    def ports(self) -> tuple[Port, ...]:
        """The ports that packets come in by."""
        return self._ports

    def port_counters(self) -> dict[str, PortCounters]:
        """What became of packets, by the names of the ports. From any thread."""
        with self._looking:
            return {str(port): port.counters for port in self._ports}

    def port_ways(self) -> dict[str, int]:
        """Which ways the packets of a port took that has several; empty without one. From any thread."""
        with self._looking:
            return {way: count for port in self._ports for way, count in port.ways().items()}

    def failure(self) -> str:
        """Why a thread has ended by itself, in words; "" if none has."""
        error = lib.worker_error(self._worker) if self._worker is not None else 0
        return os.strerror(-error) if error else ""

    # Packets

    def run_beside(self, batch: Batch) -> None:
        """Send a batch through between two batches of the running threads, at the time of their clock.

        For whoever reads packets in Python; from any thread, between `start` and `stop`.
        """
        given = {
            "memory": batch.memory,
            "size": len(batch.memory),
            "packets": batch.packets,
            "count": batch.count,
            "link": batch.link,
            "now": lib.worker_now(),
        }
        self._do("access_run", ffi.new("struct access_run *", given))

    def run(self, batch: Batch, now: float) -> None:
        """Send a batch through; the packets are rewritten where they are. `now` is in seconds, and never goes back."""
        lib.engine_run(
            self._engine, batch.memory, len(batch.memory), batch.packets, batch.count, batch.link, int(now * 1000)
        )

    def result(self, batch: Batch, position: int) -> Result:
        """What became of one packet of a batch, as long as no other table has been applied since."""
        decision = batch.packets[position].decision
        marks = decision.marks
        frontend = None if decision.frontend == lib.DECISION_NOTHING else self._frontends[decision.frontend]
        client = None if decision.client == lib.DECISION_NOBODY else CLIENTS[decision.client]
        backend = None
        if decision.backend != lib.DECISION_NOTHING:
            assert frontend is not None
            assert client is not None
            verdict = frontend.verdict(client)
            assert isinstance(verdict, Forward)
            backend = verdict.pool.backends[decision.backend]
        return Result(
            outcome=OUTCOMES[decision.outcome],
            rule=RULES[decision.rule],
            reason=REASONS[decision.reason],
            client=client,
            frontend=frontend,
            backend=backend,
            reply=bool(marks & lib.DECISION_REPLY),
            new=bool(marks & lib.DECISION_NEW),
            remembered=bool(marks & lib.DECISION_REMEMBERED),
            hairpin=bool(marks & lib.DECISION_HAIRPINNED),
            masquerade=bool(marks & lib.DECISION_MASQUERADED),
            answered=bool(marks & lib.DECISION_ANSWERED),
            elsewhere=bool(marks & lib.DECISION_ELSEWHERE),
            data=batch.data(position),
        )

    def send(self, packet: bytes, now: float, interface: str | None = None, link: Link = Link.IP) -> Result:
        """One packet. `interface` is where it came in, or None if this host itself sends it."""
        number = self.interface(interface) if interface is not None else 0
        room = len(packet) + ROOM_FOR_ANSWER
        batch = Batch(bytearray(packet).ljust(room), 1, link)
        batch.add(0, len(packet), number, room)
        self.run(batch, now)
        return self.result(batch, 0)

    def released(self) -> Iterator[Result]:
        """Fragments that overtook the first of their packet, waited for it, and may go on now, in their order.

        To be asked after each `run` or `send`, if `Limits.held` is not 0.
        """
        batch = Batch(bytearray(lib.HELD_BYTES), 1)
        batch.count = 1
        while lib.engine_release(self._engine, batch.memory, len(batch.memory), batch.packets):
            yield self.result(batch, 0)

    # What it knows

    @property
    def table(self) -> ForwardingTable:
        """The table in force."""
        return self._around.table

    @property
    def host(self) -> Host:
        """What it knows of the node."""
        return self._around.host

    @property
    def limits(self) -> Limits:
        """The most that it can hold."""
        return self._limits

    @property
    def memory(self) -> int:
        """Bytes asked for; the system gives them as they are used."""
        return int(lib.engine_memory(self._engine))

    @property
    def counters(self) -> Counters:
        copy = ffi.new("struct access_counters *")
        self._do("access_counters", copy)
        counted = copy.engine
        return Counters(
            packets=counted.packets,
            bytes=counted.bytes,
            answers=counted.answers,
            withheld=counted.withheld,
            outcomes=dict(zip(OUTCOMES, counted.outcomes, strict=True)),
            reasons={reason: n for reason, n in zip(REASONS, counted.reasons, strict=True) if reason is not None},
            flows={"used": copy.flows_used, **fields(copy.flows)},
            clients={"used": copy.affinities_used, **fields(copy.affinities)},
            held={"used": copy.held_used, **fields(copy.held)},
        )

    def tallies(self) -> dict[tuple[str, Endpoint], Tally]:
        """What was counted, by service port (``namespace/name:port``) and endpoint.

        A backend that is gone is there until its place is needed; its connections go on counting meanwhile.
        """
        with self._looking:
            names = self._engine.names.tallies
            count = names.fresh
            counted = ffi.new("struct flow_tally[]", count)
            self._do("access_tallies", ffi.new("struct access_tallies *", {"count": count, "into": counted}))
            found = {}
            for number, name in enumerate(names.names[1:count], start=1):
                with suppress(KeyError):  # forgotten since it was counted
                    found[self._owners.service(name.owner), backend_of(name)] = tally_of(counted[number])
            return found

    def flows(self) -> Iterator[Flow]:
        """The flows that are known, in no particular order."""
        return map(flow_of, self._live_flows())

    def named_flows(self) -> Iterator[tuple[str, Flow]]:
        """The flows, each with the service port that it is counted for (``namespace/name:port``)."""
        for flow in self._live_flows():
            # What is told is a copy: meanwhile the flow may have ended, and its service port be forgotten.
            with suppress(KeyError):
                yield self._service_of(flow), flow_of(flow)

    @property
    def now(self) -> float:
        """The time of the last packets, in seconds on their clock."""
        copy = ffi.new("struct access_counters *")
        self._do("access_counters", copy)
        return float(copy.now) / 1000

    @property
    def without_maglev(self) -> int:
        """Pools that are to be picked from by Maglev, and for want of a table (`Limits.maglevs`) are at random."""
        return self._without_maglev

    # Restarts

    def save(self) -> Saved:
        """What it knows, for `restore` of another engine."""
        now = self._engine.now
        return Saved(
            tuple(saved_flow(flow, self._service_of(flow), now) for flow in self._live_flows()),
            tuple(self._saved_clients()),
        )

    def restore(self, saved: Saved, now: float) -> int:
        """Know all that again, as far as the table in force allows. Returns how many flows and clients came back.

        `now` is the time, on the clock of the packets to come.
        Left out are: flows that the table ends (of UDP, as a rule) as their backend serves no more, clients whose
        backend is gone, what is known here already, and what there is no room for.
        """
        self.run(Batch(bytearray(1), 1), now)  # no packets: only the time
        restored = sum(map(self._restore_flow, saved.flows))
        restored += sum(map(self._restore_client, saved.clients))
        before = self.counters.flows["settled"]
        lib.engine_settle(self._engine, ALL)
        return restored - (self.counters.flows["settled"] - before)

    @property
    def has_predecessor(self) -> bool:
        """Whether there is something to `recover`."""
        return self._memory is not None and self._memory.has_before

    def recover(self) -> list[Flow]:
        """Know again what the engine before this one knew when its process ended, however that was.

        To be called before `start`, with a table in force. Returns those flows whose backend, or frontend, is in it
        no more: they go on until they end, and are counted as those of `GONE`.
        """
        if self._memory is None:
            return []
        self.run(Batch(bytearray(1), 1), lib.worker_now() / 1000)  # no packets: only the time
        known, kept = self._memory.before(), []
        if known is not None:
            names = ffi.addressof(self._engine.names, "tallies")
            gone = lib.names_take(names, native_name(self._owners.number_of(GONE[0]), GONE[1]))
            lib.durable_recover(known.flows, self._engine, gone)
            now = self._engine.now
            for client, expires in known.clients:
                self._restore_client(msgspec.structs.replace(client, milliseconds=max(expires - now, 0)))
            lib.engine_settle(self._engine, ALL)
            kept = [flow_of(flow) for flow in self._live_flows() if flow.tally == gone]
        self._memory.done()
        return kept

    # Inside

    def _restore_flow(self, saved: SavedFlow) -> bool:
        name = native_name(self._owners.number_of(saved.name), saved.backend)
        names = ffi.addressof(self._engine.names, "tallies")
        tally = lib.names_take(names, name)
        if not tally:
            return False
        done = lib.restore_flow(self._engine, native_flow(saved, tally), saved.milliseconds)
        lib.names_give_back(names, tally)
        return bool(done == lib.RESTORE_DONE)

    def _restore_client(self, saved: SavedClient) -> bool:
        affinity = self._owners.number_of_affinity(saved.name, Family.of(saved.client))
        names = ffi.addressof(self._engine.names, "members")
        member = lib.names_find(names, native_name(affinity, saved.backend))
        entry = native_client(saved, affinity, member)
        return bool(lib.restore_client(self._engine, entry, saved.milliseconds) == lib.RESTORE_DONE)

    def _live_flows(self) -> Iterator[Any]:
        """Copies of the flows, in pieces, so that nobody waits for all of them."""
        into = ffi.new("struct flow[]", _FLOWS_AT_ONCE)
        piece = ffi.new("struct access_flows *", {"room": len(into), "into": into})
        while not piece.end:
            piece.count = 0
            self._do("access_flows", piece)
            yield from into[0 : piece.count]

    def _do(self, task: str, argument: Any) -> None:
        """Have a task of native/access.h done: between two batches, if threads are using the engine."""
        with self._looking:
            if self._worker is None:
                run = getattr(lib, task)
                while not run(self._engine, argument):
                    pass
            else:
                lib.worker_ask(self._worker, ffi.addressof(lib, task), argument)

    def _saved_clients(self) -> Iterator[SavedClient]:
        table, now = self._engine.affinities, self._engine.now
        for number in range(1, table.fresh):
            entry = table.entries[number]
            if entry.affinity and entry.expires > now:
                name, family = self._owners.affinity(entry.affinity)
                backend = backend_of(self._engine.names.members.names[entry.member])
                yield SavedClient(name, unpacked(bytes(entry.client.bytes), family), backend, entry.expires - now)

    def _members(self) -> dict[int, Endpoint]:
        """What the numbers of backends with affinity mean."""
        members = self._engine.names.members
        return {
            number: backend_of(name)
            for number, name in enumerate(members.names[1 : members.fresh], start=1)
            if name.owner
        }

    def _service_of(self, flow: Any) -> str:
        return self._owners.service(self._engine.names.tallies.names[flow.tally].owner)

    @property
    def _engine(self) -> Any:
        if not self._native:
            raise ValueError("the engine is closed")
        return self._native

    def _change(self, around: Surroundings, changes: Changes = _NOTHING, touched: Collection[str] = ()) -> bool:
        """Make the engine do what `around` says, which differs from before by `changes` and what `touched` are to it.

        Returns whether everything was written. DataplaneError: nothing has changed.
        """
        whole = self._full or not self._load(self._differing(around, changes, touched))
        if whole:
            table = around.table
            everything = list(table.frontends.values())
            roles = around.all_roles()
            self._load(encode(everything, (), roles, around, self._owners, self._pick, whole=True))
        self._around, self._full = around, False
        without_maglev = int(lib.engine_without_maglev(self._engine))
        if without_maglev != self._without_maglev:
            self._without_maglev = without_maglev
            _log.warning(
                "%d pools of endpoints that ask for Maglev are picked from at random: there are %d tables, "
                "for at most %d endpoints each",
                without_maglev,
                self._limits.maglevs,
                lib.MAGLEV_BACKENDS,
            )
        return whole

    def _differing(self, around: Surroundings, changes: Changes, touched: Collection[str]) -> Image:
        come = [frontend for _, frontend in changes.frontends.values() if frontend is not None]
        gone = [key for key, (_, frontend) in changes.frontends.items() if frontend is None]
        return encode(come, gone, around.roles(touched), around, self._owners, self._pick, whole=False)

    def _load(self, image: Image) -> bool:
        """Load an image and put it in force. False if a whole one is needed; DataplaneError if that is refused."""
        self._full = True  # until it is in force: what has been loaded by then is not what the next one differs from
        error = lib.engine_load(self._engine, image.native)
        if error == lib.IMAGE_TOO_MANY and not image.whole:
            return False
        if error != lib.IMAGE_OK:
            raise DataplaneError(f"the engine refused the table: {errors()[error]} ({self._limits})")
        if self._memory is not None and image.remembers:
            self._memory.note(self._owners.affinities(), self._members())
        self._do("access_settle", ffi.new("struct access_settle *", {"swap": True}))
        if lib.engine_catch_up(self._engine, image.native) != lib.IMAGE_OK:
            raise AssertionError("two tables that were changed alike are not alike")
        self._remember(image)
        return True

    def _remember(self, image: Image) -> None:
        """What the engine's positions mean from now on."""
        if image.whole:
            self._frontends = list(image.frontends)
        else:
            for position, frontend in zip(image.positions(), image.frontends, strict=True):
                if position >= len(self._frontends):
                    self._frontends += [None] * (position + 1 - len(self._frontends))
                self._frontends[position] = frontend
        with self._looking:
            self._owners.tidy(len(self._frontends))

    def _owners_in_use(self) -> set[int]:
        size, at = ffi.sizeof("struct name") // 4, ffi.offsetof("struct name", "owner") // 4
        kinds = (self._engine.names.tallies, self._engine.names.members)
        words = (memoryview(ffi.buffer(kind.names, 4 * size * kind.fresh)).cast("I") for kind in kinds)
        return set().union(*(set(of_kind[at::size]) for of_kind in words))


def _addresses_of(changes: Changes, host: Host) -> Collection[str]:
    """What may be something else to the engine than before: any address of the host, if "any node address" moved."""
    moved = frozenset().union(*changes.node_addresses)
    any_of_host = host.addresses if any(family.any_address in moved for family in Family) else frozenset()
    return moved.union(*changes.cluster_ips, any_of_host)
