"""An agent's life in a short time: a cluster that never rests, an API server that comes and goes, and kills.

Runs as ``python -m bench.soak MINUTES SEED`` in network and process namespaces of its own (`bench.namespace`), tells
what it does on its standard error, and prints one JSON object: what happened, and in ``wrong`` what should not have.
The same seed makes the same things happen in the same order; how far it gets depends on the machine.

    round: changes, and among them kills, restarts of the API server, lost watches, compaction
    then:  the mark is moved, and when packets follow it every address is asked: are the answers those that a compile of
           all objects allows?

In the last third nobody kills the agent, so that what it holds can be compared. At the end the rules must be those that
a new agent writes into an empty kernel.
"""

from __future__ import annotations

import asyncio
import difflib
import gc
import json
import random
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.soak import expected, network
from bench.soak.addresses import SERVICE_CIDRS, cluster_ip, endpoint
from bench.soak.agent import Agent, Holdings, growth, programmed
from bench.soak.changes import MARK, SLOTS, STEADY, Changes
from bench.soak.expected import Question
from bench.soak.group import Group
from dataplane.table import Client
from lab.api.server import ApiServer
from lab.api.store import Store

_PORT = 8001
_MARK_LIMIT = (
    90.0  # seconds until packets must follow the mark: the longest wait before an API server is asked again, thrice
)
_PATIENCE = (1.0, 1.0, 2.0, 4.0, 8.0, 8.0)  # seconds for an answer; what is not right is asked again with more
_KEPT = 60  # connections that each group of clients holds
_SHOWN = 20


class Soak:
    """Everything that takes part."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._chance = random.Random(seed)
        self._store = Store(seed=seed, service_networks=SERVICE_CIDRS)
        self._changes = Changes(self._store, random.Random(seed + 1))
        self._agent = Agent(f"http://127.0.0.1:{_PORT}", folder)
        self._server: ApiServer | None = None
        self._holdings: list[Holdings] = []  # since nobody kills the agent any more
        self._delays: list[float] = []
        self.count = dict.fromkeys(("rounds", "changes", "kills", "api_restarts", "compactions", "lost_watches"), 0)
        self.wrong: list[str] = []
        network.prepare_node()
        self._endpoints = network.start("bench.soak.endpoints")
        network.connect_endpoints(self._endpoints)
        self._groups = [
            Group(Client.POD, seed, _KEPT, STEADY, SLOTS, network.PODS),
            Group(Client.NODE, seed, 0, STEADY, SLOTS, None),
            Group(Client.OUTSIDE, seed, 0, STEADY, SLOTS, network.OUTSIDE),
        ]

        network.route_the_rest_outside()

    async def run(self, minutes: float) -> dict[str, Any]:
        began = time.monotonic()
        end = began + 60 * minutes
        calm = end - 20 * minutes
        for _ in range(4 * SLOTS):
            self._changes.one()
        await self._start_api()
        self._agent.start()
        await self._look()
        await asyncio.gather(*(group.begin() for group in self._groups))
        while time.monotonic() < end:
            kills = time.monotonic() < calm
            await self._round(kills)
            await self._look()
            await self._listen()
            if not kills:
                self._holdings.append(self._agent.holdings())
            _say(f"{time.monotonic() - began:6.0f} s: {self.count}, {len(self.wrong)} wrong, {self._agent.holdings()}")
        told = await self._listen()
        self._blame(growth(self._holdings))
        await self._compare_with_cold()
        for group in self._groups:
            group.end()
        self._endpoints.kill()
        self._endpoints.communicate()
        self._agent.stop()
        await self._stop_api()
        return {
            "seconds": round(time.monotonic() - began),
            **self.count,
            "kinds_of_changes": self._changes.made,
            **told,
            "slowest_s": round(max(self._delays), 3),
            "wrong": self.wrong[:_SHOWN],
            "wrong_in_all": len(self.wrong),
        }

    async def _round(self, kills: bool) -> None:
        self.count["rounds"] += 1
        number = self._chance.choice((20, 60, 200, 400))
        pause = self._chance.choice((0.0, 0.002, 0.01))
        events = {
            self._chance.randrange(number): event
            for event, share in ((self._kill, 0.5), (self._lose_api, 0.3), (self._compact, 0.3), (self._cut, 0.3))
            if self._chance.random() < share and (kills or event != self._kill)
        }
        for step in range(number):
            self._changes.one()
            self.count["changes"] += 1
            if step in events:
                await events[step]()
            await asyncio.sleep(pause)

    # --- what happens -------------------------------------------------------------------------------------------

    async def _kill(self) -> None:
        self._agent.kill()
        self.count["kills"] += 1
        await self._go_on(self._chance.choice((0.0, 0.3, 1.5)))
        self._agent.start()

    async def _lose_api(self) -> None:
        await self._stop_api()
        await self._go_on(self._chance.choice((0.0, 0.5, 3.0)))
        await self._start_api()
        self.count["api_restarts"] += 1

    async def _compact(self) -> None:
        self._store.compact()
        self.count["compactions"] += 1
        await self._cut()

    async def _cut(self) -> None:
        if self._server is not None:
            self.count["lost_watches"] += self._server.faults.drop_watches()

    async def _go_on(self, seconds: float) -> None:
        """The cluster changes meanwhile, by as much as the seed says and not the clock."""
        for _ in range(int(20 * seconds)):
            self._changes.one()
            self.count["changes"] += 1
            await asyncio.sleep(0.05)

    async def _start_api(self) -> None:
        self._server = ApiServer(self._store)
        await self._server.start([socket.create_server(("127.0.0.1", _PORT))])

    async def _stop_api(self) -> None:
        assert self._server is not None
        await self._server.stop()
        self._server = None

    # --- what is looked at --------------------------------------------------------------------------------------

    async def _look(self, *, move: bool = True) -> None:
        """Wait until packets follow the mark, then ask every address. What is wrong is asked again for a while."""
        began = time.monotonic()
        if move:
            self._changes.move_mark()
        port, number = self._changes.mark
        marks = [
            (Question("tcp", cluster_ip(MARK, family), port, 1), [f"{endpoint(MARK, number, family)} 8080"])
            for family in (4, 6)
        ]
        while await self._groups[0].ask([question for question, _ in marks], _PATIENCE[0]) != dict(marks):
            if self._agent.has_ended or time.monotonic() - began > _MARK_LIMIT:
                raise SystemExit(f"packets do not follow the mark\n{self._agent.log()[-4000:]}")
            await asyncio.sleep(0.02)
        self._delays.append(time.monotonic() - began)
        table = expected.table(self._store)
        left = {group: expected.questions(group.client) for group in self._groups}
        for patience in _PATIENCE:
            answers = await asyncio.gather(*(group.ask(questions, patience) for group, questions in left.items()))
            found = {
                group: expected.mistakes(table, group.client, seen) for group, seen in zip(left, answers, strict=True)
            }
            left = {group: list(mistakes) for group, mistakes in found.items() if mistakes}
            if not left:
                return
        self._blame(text for mistakes in found.values() for text in mistakes.values())

    async def _listen(self) -> dict[str, int]:
        """What the clients have to tell since the last time."""
        all_told: dict[str, int] = {}
        for group in self._groups:
            told = await group.tell()
            self._blame(told.pop("wrong"))
            for name, value in told.items():
                all_told[name] = all_told.get(name, 0) + value
        return all_told

    async def _compare_with_cold(self) -> None:
        """The rules as they have become, and as an agent writes them that finds nothing."""
        grown = programmed()
        self._agent.stop()
        self._agent.clean_up()
        if left := programmed():
            self._blame([f"left after cleanup: {left}"])
        self._agent.start()
        await self._look(move=False)
        cold = programmed()
        difference = [
            line for line in difflib.unified_diff(grown, cold, "grown", "cold", lineterm="", n=0) if line[0] in "+-"
        ]
        _say(f"{len(cold)} objects in the kernel; {len(difference)} lines differ from those of a new agent")
        self._blame(difference)

    def _blame(self, wrong: Any) -> None:
        for text in wrong:
            self.wrong.append(f"round {self.count['rounds']}: {text}")
            _say(self.wrong[-1])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def main(minutes: float, seed: int) -> dict[str, Any]:
    gc.freeze()
    with tempfile.TemporaryDirectory() as folder:
        return {"seed": seed, **await Soak(seed, Path(folder)).run(minutes)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(float(sys.argv[1]), int(sys.argv[2])))))
