"""Carries out the probes of one pod for as long as its server runs, and keeps their verdicts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lab.api.errors import Object
from lab.controllers.events import NORMAL, WARNING
from lab.kubelet.attempt import Target, attempt
from lab.kubelet.node import Tell
from lab.kubelet.probes import LIVENESS, READINESS, STARTUP, Probe, Verdict, probe_of


class Prober:
    """`ready` and `started` say for each container by name what its probes say; `changed` is called when they change.

    A container without a readiness probe is ready when it runs. When one fails its liveness or startup probe,
    `restart` is called.
    """

    def __init__(
        self,
        pod: Object,
        target: Target,
        *,
        changed: Callable[[], None],
        restart: Callable[[], Awaitable[None]],
        tell: Tell,
    ) -> None:
        self._containers: list[Object] = pod["spec"]["containers"]
        self._target = target
        self._changed = changed
        self._restart = restart
        self._tell = tell
        self._stopping = False
        self.ready: dict[str, bool] = {}
        self.started: dict[str, bool] = {}

    def stop_restarting(self) -> None:
        """The pod is going: readiness still counts, liveness does not any more."""
        self._stopping = True

    async def run(self) -> None:
        """Probe until cancelled; starts anew with each run of the server."""
        self.started = {c["name"]: probe_of(c, STARTUP) is None for c in self._containers}
        self.ready = {c["name"]: probe_of(c, READINESS) is None and self.started[c["name"]] for c in self._containers}
        self._changed()
        try:
            async with asyncio.TaskGroup() as tasks:
                for container in self._containers:
                    tasks.create_task(self._probe(container))
        finally:
            self.started, self.ready = {}, {}  # the next run of the server has to earn them again

    async def _probe(self, container: Object) -> None:
        """The startup probe holds the other two up."""
        name = container["name"]
        startup = probe_of(container, STARTUP)
        if startup:
            await self._start_up(container, startup)
        readiness, liveness = probe_of(container, READINESS), probe_of(container, LIVENESS)
        async with asyncio.TaskGroup() as tasks:
            if readiness:
                tasks.create_task(self._watch_readiness(name, readiness))
            if liveness:
                tasks.create_task(self._watch_liveness(name, liveness))

    async def _start_up(self, container: Object, probe: Probe) -> None:
        name, failures = container["name"], 0
        await asyncio.sleep(probe.initial_delay)
        while (reason := await attempt(probe.action, self._target, probe.timeout)) is not None:
            failures += 1
            self._tell(WARNING, "Unhealthy", f"Startup probe failed: {reason}")
            if failures == probe.failure_threshold:
                await self._give_up(name, "startup")
            await asyncio.sleep(probe.period)
        self.started[name] = True
        self.ready[name] = probe_of(container, READINESS) is None
        self._changed()

    async def _watch_readiness(self, name: str, probe: Probe) -> None:
        verdict = Verdict(probe, success=False)
        await asyncio.sleep(probe.initial_delay)
        while True:
            reason = await attempt(probe.action, self._target, probe.timeout)
            if reason is not None:
                self._tell(WARNING, "Unhealthy", f"Readiness probe failed: {reason}")
            if verdict.count(reason is None):
                self.ready[name] = verdict.success
                self._changed()
            await asyncio.sleep(probe.period)

    async def _watch_liveness(self, name: str, probe: Probe) -> None:
        verdict = Verdict(probe, success=True)
        await asyncio.sleep(probe.initial_delay)
        while True:
            reason = await attempt(probe.action, self._target, probe.timeout)
            if reason is not None:
                self._tell(WARNING, "Unhealthy", f"Liveness probe failed: {reason}")
            if verdict.count(reason is None) and not verdict.success:
                await self._give_up(name, "liveness")
            await asyncio.sleep(probe.period)

    async def _give_up(self, name: str, kind: str) -> None:
        if not self._stopping:
            self._tell(NORMAL, "Killing", f"Container {name} failed {kind} probe, will be restarted")
            await self._restart()
