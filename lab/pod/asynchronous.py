"""Processes in namespaces for an asyncio program: each one is a handle with two futures."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from typing import Any

from lab.network.namespace import Namespace
from lab.pod.messages import Listening
from lab.pod.processes import Processes


class Running:
    """A process that was started. `exited` is done with its code when it has ended.

    `listening` is done when a pod's server has opened all its ports; it never is if the server ends before.
    """

    def __init__(self, name: str, processes: Processes) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.listening: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[int] = loop.create_future()
        self._processes = processes

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal. Nothing happens if it has ended."""
        if not self.exited.done():
            self._processes.signal(self.name, number)

    async def stop(self, seconds: float) -> int:
        """Ask it to end (SIGTERM); make it end (SIGKILL) when it has not after `seconds`. Returns its code."""
        self.signal(signal.SIGTERM)
        await asyncio.wait((self.exited,), timeout=seconds)
        self.signal(signal.SIGKILL)
        return await asyncio.shield(self.exited)


class AsyncProcesses:
    """A spawner, watched by the running loop. `lost` is done if the spawner ends by itself, and all with it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._processes = Processes()
        self._running: dict[str, Running] = {}
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._processes.fileno(), self._read)

    def close(self) -> None:
        """Kill whatever still runs."""
        self._loop.remove_reader(self._processes.fileno())
        self._processes.close()

    def start_pod(self, name: str, machine: Namespace, **options: Any) -> Running:
        """See `Processes.start_pod`."""
        running = self._add(name)
        self._processes.start_pod(name, machine, **options)
        return running

    def start_program(self, name: str, machine: Namespace, argv: Sequence[str], **options: Any) -> Running:
        """See `Processes.start_program`."""
        running = self._add(name)
        self._processes.start_program(name, machine, argv, **options)
        return running

    def _add(self, name: str) -> Running:
        if name in self._running:
            raise ValueError(f"a process called {name} runs already")
        running = self._running[name] = Running(name, self._processes)
        return running

    def _read(self) -> None:
        try:
            for event in self._processes.events():
                if isinstance(event, Listening):
                    self._running[event.name].listening.set_result(None)
                else:
                    self._running.pop(event.name).exited.set_result(event.code)
        except ConnectionError:
            self._loop.remove_reader(self._processes.fileno())
            self.lost.set_result(None)
