"""The soak's side of one group of clients: a process that is asked questions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from bench.soak import network
from bench.soak.expected import Question
from dataplane.table import Client


class Group:
    """Clients of one kind. `networks`: how they are reached; None for processes of the node itself."""

    def __init__(
        self, client: Client, seed: int, kept: int, steady: int, slots: int, networks: tuple[str, str] | None
    ) -> None:
        self.client = client
        name = client.name.lower()
        numbers = map(str, (seed, kept, steady, slots))
        self._process = network.start("bench.soak.clients", name, *numbers, isolated=networks is not None)
        network.greet(name, self._process)
        if networks is not None:
            network.connect(name, self._process, networks)

    async def begin(self) -> None:
        """From now on, open connections and hold them."""
        await self._say({"begin": True})

    async def ask(self, questions: Sequence[Question], patience: float) -> dict[Question, list[str]]:
        """The answers to each question; silence counts as one after `patience` seconds."""
        answers = await self._say({"ask": questions, "patience": patience})
        return dict(zip(questions, answers, strict=True))

    async def tell(self) -> Any:
        return await self._say({"tell": True})

    def end(self) -> None:
        self._process.communicate()

    async def _say(self, what: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        line = await asyncio.to_thread(self._process.stdout.readline)
        if not line:
            raise SystemExit(f"the clients of group {self.client.name} ended")
        return json.loads(line)
