"""What happens to an engine: clients connect, go on and are answered, tables change, time passes.

    world = World(engine)
    sent = world.play([("table", 3), ("connect", 17), ("answer", 0)])

What a step does is drawn from its number, so that hypothesis finds short histories. Who converses connects, is answered
and goes on, so that both ends are known to want it. Every connection has a client's
port of its own, and every packet a payload of any length.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from hypothesis import strategies as st

from any_table import CLIENTS, INTERFACES, some_table
from dataplane.reference import Outcome, Packet
from dataplane.table import Endpoint
from dataplane.userspace.batch import Batch, Link
from dataplane.userspace.engine import Engine
from dataplane.userspace.result import Result
from dataplane.userspace.telling import packet_of
from wire import written

Steps = list[tuple[str, int]]

KINDS = ("connect", "connect", "converse", "converse", "go on", "answer", "table", "wait")

steps: st.SearchStrategy[Steps] = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 2**16)), min_size=10, max_size=40
).map(lambda drawn: [("table", len(drawn)), *drawn])
"""Histories that begin with a table."""


@dataclass(frozen=True)
class Sent:
    """A packet that met the engine, and what became of it."""

    packet: Packet
    data: bytes
    result: Result
    kind: str

    @property
    def left(self) -> Packet:
        """The packet as it left."""
        return read_back(self.result.data)


def read_back(data: bytes) -> Packet:
    packet = packet_of(data, Link.IP, None)
    assert packet is not None
    return packet


class World:
    """Its time is `now`; `opened` are the packets that began a flow."""

    def __init__(self, engine: Engine, first_port: int = 40000) -> None:
        self.engine = engine
        self.now = 0.0
        self.opened: list[Sent] = []
        self._ports = count(first_port)

    def play(self, history: Iterable[tuple[str, int]]) -> list[Sent]:
        return list(self.events(history))

    def events(self, history: Iterable[tuple[str, int]]) -> Iterator[Sent]:
        """One after the other, to be looked at in between."""
        for kind, number in history:
            if kind == "table":
                self.engine.apply(some_table(number))
            elif kind == "wait":
                self.now += number % 30
                self.engine.run(Batch(bytearray(), 0), self.now)  # ports tell the time when there is no packet, too
            elif kind == "connect":
                yield from self._connect(random.Random(number))
            elif kind == "converse":
                for sent in self._connect(random.Random(number)):
                    yield sent
                    if sent.result.new:
                        yield self.answer(sent)
                        yield self.again(sent)
            elif self.opened:
                before = self.opened[-(number % len(self.opened))]
                yield self.again(before) if kind == "go on" else self.answer(before)

    def _connect(self, chance: random.Random) -> Iterator[Sent]:
        frontends = sorted(self.engine.table.frontends)
        if not frontends:
            return
        key = chance.choice(frontends)
        family = key.family
        address = CLIENTS[family][3] if key.is_node_port else key.address
        source = Endpoint(chance.choice(CLIENTS[family]), next(self._ports))
        packet = Packet(source, Endpoint(address, key.port), key.protocol, chance.choice(INTERFACES))
        sent = self.send(packet, "connect", "S", chance.randbytes(chance.randrange(40)))
        if sent.result.new:
            self.opened.append(sent)
        yield sent

    def again(self, before: Sent) -> Sent:
        """Another packet of the client's."""
        return self.send(before.packet, "go on", "A")

    def answer(self, before: Sent) -> Sent:
        """A packet of the backend's, to whomever it saw."""
        return self.send(before.left.reply, "answer", "A")

    def send(self, packet: Packet, kind: str, signals: str, payload: bytes = b"hello") -> Sent:
        data = written(packet, signals, payload)
        return Sent(packet, data, self.engine.send(data, self.now, packet.interface), kind)


def forwarded(sent: Iterable[Sent]) -> Iterator[Sent]:
    return (one for one in sent if one.result.outcome is Outcome.FORWARD)


def mirrored(data: bytes) -> bytes:
    """The packet that answers this one, with the same payload: addresses and ports change places."""
    addresses, ports = (12, (data[0] & 0xF) * 4) if data[0] >> 4 == 4 else (8, 40)
    middle, end = addresses + (4 if addresses == 12 else 16), addresses + (8 if addresses == 12 else 32)
    return (
        data[:addresses]
        + data[middle:end]
        + data[addresses:middle]
        + data[end:ports]
        + data[ports + 2 : ports + 4]
        + data[ports : ports + 2]
        + data[ports + 4 :]
    )
