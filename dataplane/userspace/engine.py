"""The C engine as a Dataplane: tables go in by `apply`, packets by `run` or `send`.

with Engine(host=Host(addresses, egress), seed=7) as engine:
    engine.apply(table)
    result = engine.send(packet, now=0.0, interface="veth0")
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from types import TracebackType
from typing import Any

from dataplane.changes import Changes
from dataplane.fake import describe
from dataplane.interface import Applied, DataplaneError, Drift
from dataplane.reference import Outcome
from dataplane.table import Endpoint, Family, ForwardingTable, FrontendKey, Protocol
from dataplane.userspace.batch import Batch, Link
from dataplane.userspace.flows import PHASES, Flow, Tally
from dataplane.userspace.image import Encoder, FamilyImage, Host, Image, unpacked
from dataplane.userspace.limits import RFC_TIMEOUTS, Limits, Timeouts
from dataplane.userspace.pick import Pick
from dataplane.userspace.result import CLIENTS, OUTCOMES, REASONS, RULES, Reason, Result
from native.library import ffi, lib

ROOM_FOR_ANSWER = 48
"""Bytes by which the answer to a rejected packet can be longer: an IPv6 header and one of ICMP."""

_PROTOCOLS = {protocol.number: protocol for protocol in Protocol}


@dataclass(frozen=True, slots=True)
class Counters:
    """What went in, and what became of it: `packets` is the sum of `outcomes`, the drops that of `reasons`.

    `answers` counts the rejected packets whose sender was told.
    The others count flows and clients with affinity, by what became of them (native/flow.h, native/affinity.h).
    """

    packets: int
    bytes: int
    answers: int
    outcomes: Mapping[Outcome, int]
    reasons: Mapping[Reason, int]
    flows: Mapping[str, int]
    clients: Mapping[str, int]


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
        pick: Pick = Pick.RANDOM,
        seed: int | None = None,
    ) -> None:
        """DataplaneError if there is not enough memory for the limits."""
        self._limits = limits or Limits()
        self._native: Any = lib.engine_create(_config(self._limits, timeouts, seed))
        if not self._native:
            raise DataplaneError(f"cannot make an engine with {self._limits}: a limit of 0, or not enough memory")
        self._host = host or Host()
        self._interfaces: dict[str, int] = {}
        self._table = ForwardingTable()
        self._full = True
        self._encoder = Encoder(self._limits.tallies, self._limits.members, pick, self._is_busy, self._recycle)
        self._image: Image | None = None
        self._load()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give all memory back. Everything but this raises ValueError afterwards."""
        lib.engine_destroy(self._native)
        self._native = ffi.NULL

    # Tables

    def apply(self, table: ForwardingTable) -> Applied:
        """Put a table in force, between two batches. UDP flows and affinity that it ends are forgotten at once."""
        started = time.monotonic()
        changes = Changes.between(self._table, table)
        if not changes and not self._full:
            return Applied(False, 0, time.monotonic() - started)
        before, self._table = self._table, table
        try:
            self._load()
        except DataplaneError:
            self._table, self._full = before, True
            raise
        lib.engine_settle(self._engine)
        full, self._full = self._full, False
        return Applied(full, len(changes.frontends), time.monotonic() - started)

    def set_host(self, host: Host) -> None:
        """The node's addresses have changed."""
        before, self._host = self._host, host
        try:
            self._load()
        except DataplaneError:
            self._host = before
            raise

    def interface(self, name: str) -> int:
        """The number for packets that come in on this interface; 0 stands for the host itself."""
        number = self._interfaces.get(name)
        if number is None:
            number = len(self._interfaces) + 1
            if number == lib.SERVICE_INTERFACES:
                raise DataplaneError(f"the engine has no room for more than {number - 1} interfaces")
            self._interfaces[name] = number
            self._load()
        return number

    def audit(self) -> Drift:
        """Never any: the memory is this process's own."""
        return Drift()

    def tampered(self) -> bool:
        """Never."""
        return False

    def cleanup(self) -> None:
        """Serve nothing new. Flows of TCP and SCTP go on until they end."""
        self._table, self._full = ForwardingTable(), True
        self._load()
        lib.engine_settle(self._engine)

    def where(self, key: FrontendKey) -> str:
        """The frontend in one line, and a line for each of its backends with what was counted. KeyError if none."""
        frontend = self._table.frontends[key]
        lines = [describe(frontend)]
        tallies = self.tallies()
        for endpoint in dict.fromkeys(b.endpoint for pool in frontend.pools for b in pool.backends):
            tally = tallies[frontend.service, endpoint]
            lines.append(
                f"  {endpoint}: {tally.connections} connections ({tally.active} now), "
                f"{tally.packets_to} packets to it and {tally.packets_from} from it"
            )
        return "\n".join(lines)

    # Packets

    def run(self, batch: Batch, now: float) -> None:
        """Send a batch through; the packets are rewritten where they are. `now` is in seconds, and never goes back."""
        lib.engine_run(
            self._engine, batch.memory, len(batch.memory), batch.packets, batch.count, batch.link, int(now * 1000)
        )

    def result(self, batch: Batch, position: int) -> Result:
        """What became of one packet of a batch, as long as no other table has been applied since."""
        decision = batch.packets[position].decision
        image, marks = self._image, decision.marks
        assert image is not None
        return Result(
            outcome=OUTCOMES[decision.outcome],
            rule=RULES[decision.rule],
            reason=REASONS[decision.reason],
            client=None if decision.client == lib.DECISION_NOBODY else CLIENTS[decision.client],
            frontend=None if decision.frontend == lib.DECISION_NOTHING else image.frontend_list[decision.frontend],
            backend=None if decision.backend == lib.DECISION_NOTHING else image.backend_list[decision.backend],
            reply=bool(marks & lib.DECISION_REPLY),
            new=bool(marks & lib.DECISION_NEW),
            remembered=bool(marks & lib.DECISION_REMEMBERED),
            hairpin=bool(marks & lib.DECISION_HAIRPINNED),
            masquerade=bool(marks & lib.DECISION_MASQUERADED),
            answered=bool(marks & lib.DECISION_ANSWERED),
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

    # What it knows

    @property
    def table(self) -> ForwardingTable:
        """The table in force."""
        return self._table

    @property
    def memory(self) -> int:
        """Bytes asked for; the system gives them as they are used."""
        return int(lib.engine_memory(self._engine))

    @property
    def counters(self) -> Counters:
        counted, flows = self._engine.counters, self._engine.flows
        return Counters(
            packets=counted.packets,
            bytes=counted.bytes,
            answers=counted.answers,
            outcomes=dict(zip(OUTCOMES, counted.outcomes, strict=True)),
            reasons={reason: n for reason, n in zip(REASONS, counted.reasons, strict=True) if reason is not None},
            flows={"used": flows.used, **_fields(flows.counters)},
            clients={"used": self._engine.affinities.used, **_fields(self._engine.affinities.counters)},
        )

    def tallies(self) -> dict[tuple[str, Endpoint], Tally]:
        """What was counted, by service port (``namespace/name:port``) and endpoint.

        A backend that is gone is there until its place is needed; its connections go on counting meanwhile.
        """
        counted = self._engine.flows.tallies
        return {
            (service, Endpoint(address, port)): _tally(counted[slot])
            for (service, address, port), slot in self._encoder.tallies.items()
        }

    def flows(self) -> Iterator[Flow]:
        """The flows that are known, in no particular order."""
        table, now = self._engine.flows, self._engine.now
        for number in range(1, table.fresh):
            flow = table.flows[number]
            if flow.tuples[0].family and flow.deadline > now:
                yield _flow(flow)

    # Inside

    @property
    def _engine(self) -> Any:
        if not self._native:
            raise ValueError("the engine is closed")
        return self._native

    def _load(self) -> None:
        """Load the present table, host and interfaces, and put them in force. DataplaneError: nothing has changed."""
        image = self._encoder.encode(self._table, self._host, tuple(self._interfaces))
        native, keep_alive = _native_image(image, self._encoder)
        error = lib.engine_load(self._engine, native)
        del keep_alive
        if error != lib.SERVICE_OK:
            self._encoder.discard(image)
            raise DataplaneError(f"the engine refused the table: {_errors()[error]} ({self._limits})")
        lib.engine_swap(self._engine)
        self._encoder.keep(image)
        self._image = image

    def _is_busy(self, tally: int) -> bool:
        return bool(self._engine.flows.tallies[tally].active)

    def _recycle(self, tally: int) -> None:
        ffi.memmove(ffi.addressof(self._engine.flows.tallies[tally]), ffi.new("struct flow_tally *"), _TALLY_SIZE)


_TALLY_SIZE = ffi.sizeof("struct flow_tally")


def _errors() -> dict[int, str]:
    return {
        lib.SERVICE_TOO_MANY: "it holds more than the limits allow",
        lib.SERVICE_BAD_FRONTEND: "a frontend refers to something that is not there",
        lib.SERVICE_BAD_POOL: "a pool is empty, refers to backends that are not there, or has too many for Maglev",
        lib.SERVICE_BAD_BACKEND: "a backend refers to something that is not there",
        lib.SERVICE_BAD_ADDRESS: "an address is of no family",
        lib.SERVICE_BAD_FAMILY: "a range of addresses is not there",
        lib.SERVICE_DOUBLE: "two entries have the same key",
    }


def _config(limits: Limits, timeouts: Timeouts, seed: int | None) -> Any:
    secret = os.urandom(32) if seed is None else hashlib.sha256(str(seed).encode()).digest()
    words = [int.from_bytes(secret[at : at + 8], "big") for at in range(0, 32, 8)]
    config = ffi.new("struct engine_config *")
    config.flows, config.affinities = limits.flows, limits.clients
    config.limits.frontends, config.limits.pools = limits.frontends, limits.pools
    config.limits.backends, config.limits.endpoints = limits.backends, limits.serving
    config.limits.ranges, config.limits.addresses = limits.ranges, limits.addresses
    config.limits.tallies, config.limits.members = limits.tallies, limits.members
    config.limits.maglevs = limits.maglevs
    config.key.first, config.key.second, config.seed.first, config.seed.second = words
    config.timeouts.milliseconds = [int(seconds * 1000) for seconds in astuple(timeouts)]
    return config


def _native_image(image: Image, encoder: Encoder) -> tuple[Any, list[Any]]:
    """The structure of native/service.h, and what must stay alive as long as it is used."""
    native = ffi.new("struct service_image *")
    keep_alive = []
    for name, kind in _ARRAYS:
        view = ffi.from_buffer(f"struct service_{kind}[]", getattr(image, name))
        keep_alive.append(view)
        setattr(native, name, view)
        setattr(native.counts, name, len(view))
    native.counts.tallies, native.counts.members = encoder.tallies.end, encoder.member_end
    native.counts.maglevs = image.maglevs
    native.pod_interfaces = interfaces = ffi.from_buffer("uint8_t[]", image.pod_interfaces)
    keep_alive.append(interfaces)
    for position, family in enumerate(image.families):
        _fill_family(native.families[position], family)
    return native, keep_alive


_ARRAYS = (
    ("frontends", "frontend"),
    ("pools", "pool"),
    ("backends", "backend"),
    ("endpoints", "endpoint"),
    ("ranges", "range"),
    ("addresses", "address"),
)


def _fill_family(native: Any, family: FamilyImage) -> None:
    native.cidrs_first, native.cidrs_count = family.service_cidrs
    native.pods_first, native.pods_count = family.pods
    if family.egress is not None:
        native.egress.bytes = family.egress
        native.can_masquerade = 1


def _flow(flow: Any) -> Flow:
    original, reply = flow.tuples
    return Flow(
        protocol=_PROTOCOLS[original.protocol],
        client=_endpoint(original.source, original.source_port, original.family),
        service=_endpoint(original.destination, original.destination_port, original.family),
        backend=_endpoint(reply.source, reply.source_port, original.family),
        seen_as=_endpoint(reply.destination, reply.destination_port, original.family),
        phase=PHASES[lib.tracking_phase(flow.events, original.protocol)],
        expires=flow.deadline / 1000,
        packets=tuple(flow.packets),
        masquerade=bool(flow.flags & lib.FLOW_MASQUERADE),
        hairpin=bool(flow.flags & lib.FLOW_HAIRPIN),
    )


def _endpoint(address: Any, port: int, family: int) -> Endpoint:
    return Endpoint(
        unpacked(bytes(address.bytes), Family(family)), int.from_bytes(port.to_bytes(2, sys.byteorder), "big")
    )


def _tally(tally: Any) -> Tally:
    return Tally(tally.connections, tally.active, *tally.packets, *tally.bytes)


def _fields(structure: Any) -> dict[str, int]:
    """A structure of numbers as a dictionary."""
    return {name: getattr(structure, name) for name, _ in ffi.typeof(structure).fields}
