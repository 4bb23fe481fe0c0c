"""Keeps the Service agent of one node running, and says on the Node how it is.

It is started exactly as in a real cluster, with a kubeconfig and kube-proxy's flags, inside the node's namespace, so
whatever takes these flags can be tried: the command is an option of the lab.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lab.api.store import Store
from lab.cluster.nodes import set_proxy_condition
from lab.kubelet.attempt import http_status
from lab.network.namespace import Namespace
from lab.pod.asynchronous import AsyncProcesses, Running

log = logging.getLogger(__name__)

HEALTH_PORT = 10256  #: /healthz of kube-proxy

FIRST_DELAY = 0.5  #: seconds until an agent that has ended is started again; doubled each time
LONGEST_DELAY = 10.0
_LONG_ENOUGH = 30.0  #: an agent that ran so long is started again at once
_ASK_UNTIL_READY = 0.1  #: seconds between questions for its health
_ASK_LATER = 1.0


def agent_environment(folder: Path) -> dict[str, str]:
    """Where a lab's agents keep what their successors need, for whoever asks them. `folder` has their logs."""
    return {"SVCPLANE_RUN": str(folder / "run")}


@dataclass(frozen=True, slots=True)
class AgentCommand:
    """How to start it."""

    program: tuple[str, ...]
    proxy_mode: str
    cluster_cidrs: tuple[str, ...]
    kubeconfig: Path

    def argv(self, node: str) -> Sequence[str]:
        return (
            *self.program,
            f"--kubeconfig={self.kubeconfig}",
            f"--hostname-override={node}",
            f"--cluster-cidr={','.join(self.cluster_cidrs)}",
            f"--proxy-mode={self.proxy_mode}",
        )


class Agent:
    """`run` keeps it running; `ready` is set while it says that it is healthy."""

    def __init__(
        self,
        node: str,
        machine: Namespace,
        command: AgentCommand,
        *,
        store: Store,
        processes: AsyncProcesses,
        log_file: Path,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.node = node
        self.log_file = log_file
        self.ready = False
        self.failures = 0  #: how often in a row it has ended by itself
        self._machine = machine
        self._command = command
        self._store = store
        self._processes = processes
        self._changed = changed

    async def run(self) -> None:
        """Until cancelled; the process is stopped then."""
        number = 0
        while True:
            started = asyncio.get_running_loop().time()
            process = self._processes.start_program(
                f"agent/{self.node}/{number}",
                self._machine,
                self._command.argv(self.node),
                # What it keeps for its successor is gone with the lab.
                environment=agent_environment(self.log_file.parent),
                log=str(self.log_file),
            )
            number += 1
            asking = asyncio.create_task(self._ask())
            try:
                await asyncio.wait((process.exited,))
            except asyncio.CancelledError:
                asking.cancel()
                await _stop(process)
                raise
            asking.cancel()
            if asyncio.get_running_loop().time() - started > _LONG_ENOUGH:
                self.failures = 0
            delay = min(FIRST_DELAY * 2.0 ** min(self.failures, 20), LONGEST_DELAY)
            self.failures += 1
            code = process.exited.result()
            log.warning("the agent of %s has ended with code %d, again in %g s", self.node, code, delay)
            self._say(False, "Exited", f"the agent has ended with code {code} and is started again")
            await asyncio.sleep(delay)

    async def _ask(self) -> None:
        while True:
            try:
                async with asyncio.timeout(1.0):
                    status = await http_status(self._machine, "127.0.0.1", HEALTH_PORT, "/healthz")
                healthy, reason = status == 200, f"/healthz answers {status}"
            except (OSError, EOFError):  # a TimeoutError is an OSError
                healthy, reason = False, "/healthz does not answer"
            self._say(healthy, "Synced" if healthy else "NotSynced", reason)
            await asyncio.sleep(_ASK_LATER if healthy else _ASK_UNTIL_READY)

    def _say(self, ready: bool, reason: str, message: str) -> None:
        if ready != self.ready:
            log.info("the agent of %s is %s: %s", self.node, "ready" if ready else "not ready", message)
        self.ready = ready
        set_proxy_condition(self._store, self.node, ready, reason, message, datetime.now(UTC))
        self._changed()


async def _stop(process: Running) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5.0):
            await process.stop(3.0)
