"""Clients of the soak: they open connections all the time, keep some of them, and tell what they saw.

Runs as ``python -m bench.soak.clients SEED KEPT STEADY`` in a namespace of its own. `KEPT` is how many connections are
held at any time, and Services in slots below `STEADY` must answer at any time. Every line of its input is a question,
and is answered by a line:

    {"ask": [["tcp", address, port, times], ...], "patience": 1.0}
                                                     → for each, the answers seen: "10.200.1.4 8080", or "" for none
    {"tell": 0}                                      → {"opened": ..., "kept": ..., "wrong": [...]}

Never right, whatever changes meanwhile: a connection that breaks, an answer from another Service's endpoint, or
none from a steady Service.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from bench.soak.addresses import FAMILIES, cluster_ip, slot_of

_PATIENCE = 20.0  # seconds until silence on a connection that was open counts as broken
_OPENING = 8.0  # seconds to open one: the first SYN may be lost to a busy machine, and perhaps the second
_HURRY = 1.5  # seconds to open one to a Service that may have nobody to answer
_PING = 0.5  # seconds between two questions on a connection that is held
_AT_ONCE = 150
_LONGEST = 60.0  # seconds that most connections are held; some for ever
_FOREVER = 0.1  # of all connections

_PORTS = (80, 81)  # of every Service, TCP


@dataclass
class Clients:
    """`own` is this group's name in what it tells."""

    own: str
    random: random.Random
    steady: int
    slots: int
    opened: int = 0
    unanswered: int = 0
    questions: int = 0
    kept: int = 0
    wrong: list[str] = field(default_factory=list)

    async def keep_asking(self) -> None:
        """Open a connection, hold it, close it, and again."""
        while True:
            slot = self.random.randrange(self.slots)
            where = cluster_ip(slot, self.random.choice(FAMILIES)), self.random.choice(_PORTS)
            held = float("inf") if self.random.random() < _FOREVER else self.random.uniform(0, _LONGEST)
            await self._hold(slot, where, held)
            await asyncio.sleep(self.random.uniform(0, 0.2))

    async def keep_asking_the_steady(self) -> None:
        while True:
            slot = self.random.randrange(self.steady)
            await self._hold(slot, (cluster_ip(slot, self.random.choice(FAMILIES)), self.random.choice(_PORTS)), 0.0)
            await asyncio.sleep(0.02)

    async def _hold(self, slot: int, where: tuple[str, int], seconds: float) -> None:
        try:
            async with asyncio.timeout(_OPENING if slot < self.steady else _HURRY):
                reader, writer = await asyncio.open_connection(*where)
        except OSError as error:  # a TimeoutError is one
            self.unanswered += 1
            if slot < self.steady:
                self.wrong.append(f"{self.own}: steady {where[0]} port {where[1]}: {error or 'no answer'}")
            return
        self.opened += 1
        self.kept += 1
        asked = self.questions
        try:
            first = await self._ask(reader, writer)
            if slot_of(first.split()[0]) != slot:
                self.wrong.append(f"{self.own}: {where[0]} port {where[1]} was answered by {first}")
            end = asyncio.get_running_loop().time() + seconds
            while (left := end - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(min(_PING, left))
                again = await self._ask(reader, writer)
                if again != first:
                    self.wrong.append(f"{self.own}: a connection to {where} moved from {first} to {again}")
        except OSError as error:
            what = f"{type(error).__name__} {error}"
            self.wrong.append(
                f"{self.own}: a connection to {where} broke after {self.questions - asked} answers: {what}"
            )
        finally:
            self.kept -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        async with asyncio.timeout(_PATIENCE):
            writer.write(b"?\n")
            await writer.drain()
            said = await reader.readline()
        if not said:
            raise ConnectionResetError("closed by the other side")
        self.questions += 1
        return said.decode().strip()


class Datagrams(asyncio.DatagramProtocol):
    """One UDP client that keeps its port: the kernel remembers its flow for as long as it goes on."""

    def __init__(self) -> None:
        self._number = 0
        self._answered: asyncio.Future[str] | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _: Any) -> None:
        number, _, said = data.decode().partition(" ")
        if self._answered is not None and int(number) == self._number and not self._answered.done():
            self._answered.set_result(said.strip())

    def error_received(self, _: Exception) -> None:
        """Refused."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_result("")

    async def ask(self, patience: float) -> str:
        assert self._transport is not None
        for _ in range(2):
            self._number += 1
            self._answered = asyncio.get_running_loop().create_future()
            self._transport.sendto(f"{self._number} ".encode())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience / 2):
                    return await self._answered
        return ""


class Asking:
    """Answers to what the soak wants to know when all has settled."""

    def __init__(self) -> None:
        self._datagrams: dict[tuple[str, int], Datagrams] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, questions: Sequence[tuple[str, str, int, int]], patience: float) -> list[list[str]]:
        return list(await asyncio.gather(*(self._ask(*question, patience) for question in questions)))

    async def _ask(self, protocol: str, address: str, port: int, times: int, patience: float) -> list[str]:
        async with self._room:
            once = self._udp if protocol == "udp" else _tcp
            seen = set()
            for _ in range(times):
                seen.add(answer := await once(address, port, patience))
                if not answer:  # silence takes its time, and will be the same
                    break
            return sorted(seen)

    async def _udp(self, address: str, port: int, patience: float) -> str:
        known = self._datagrams.get((address, port))
        if known is None:
            loop = asyncio.get_running_loop()
            _, known = await loop.create_datagram_endpoint(Datagrams, remote_addr=(address, port))
            self._datagrams[address, port] = known
        return await known.ask(patience)


async def _tcp(address: str, port: int, patience: float) -> str:
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(b"?\n")
            said = await reader.readline()
            writer.close()
            return said.decode().strip()
    except OSError:
        return ""


async def main(own: str, seed: int, kept: int, steady: int, slots: int) -> None:
    clients, asking = Clients(own, random.Random(seed), steady, slots), Asking()
    print("here", flush=True)
    tasks: list[asyncio.Task[None]] = []
    while line := await asyncio.to_thread(sys.stdin.readline):
        question = json.loads(line)
        if "begin" in question and kept:
            tasks = [asyncio.create_task(clients.keep_asking()) for _ in range(kept)]
            tasks.append(asyncio.create_task(clients.keep_asking_the_steady()))
            answer: Any = {}
        elif "ask" in question:
            answer = await asking.ask(question["ask"], question["patience"])
        else:
            answer = {
                "opened": clients.opened,
                "unanswered": clients.unanswered,
                "questions": clients.questions,
                "kept": clients.kept,
                "wrong": clients.wrong,
            }
            clients.wrong = []
            for task in tasks:
                if task.done():
                    task.result()
        print(json.dumps(answer), flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
