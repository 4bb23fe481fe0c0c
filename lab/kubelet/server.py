"""Runs a pod's server and starts it again when it ends, as the pod's restartPolicy says."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

from dataplane.errors import InputError
from lab.api.errors import Object
from lab.controllers.events import NORMAL, WARNING
from lab.kubelet.node import NodeRuntime, Tell, log_file
from lab.kubelet.status import Ended, Server, is_sidecar
from lab.network.namespace import Namespace
from lab.pod.asynchronous import Running
from lab.pod.server import DEFAULT_PORTS, DRAIN_SECONDS

#: Seconds before the second restart in a row; doubled each time. The kubelet's own (10 s to 5 min) are for clusters
#: that nobody watches.
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
_LONG_ENOUGH = 30.0  #: a server that ran so long is restarted at once again


class PodServerRunner:
    """Keeps one pod's server running. `state` says how it is, and `changed` is called when that changes."""

    def __init__(
        self, pod: Object, node: NodeRuntime, machine: Namespace, *, changed: Callable[[], None], tell: Tell
    ) -> None:
        self.state = Server()
        self._pod = pod
        self._node = node
        self._machine = machine
        self._changed = changed
        self._tell = tell
        self._containers = ", ".join(container["name"] for container in pod["spec"]["containers"])
        self._process: Running | None = None
        self._stopping = asyncio.Event()

    async def run(self, while_running: Callable[[], Awaitable[None]]) -> None:
        """Until the server is over for good. Whenever it runs, `while_running` does too, and is cancelled after it."""
        failures = 0
        while not self._stopping.is_set():
            started = self._node.clock()
            process = self._process = self._start()
            await asyncio.wait((process.listening, process.exited), return_when=asyncio.FIRST_COMPLETED)
            if process.listening.done():
                self._tell(NORMAL, "Started", f"Started container {self._containers}")
                self._set(replace(self.state, started=started))
                companion = asyncio.ensure_future(while_running())
                await asyncio.wait((process.exited,))
                companion.cancel()
            code = process.exited.result()
            ended = Ended(code if code >= 0 else 128 - code, started, self._node.clock())
            if self._stopping.is_set() or not self._is_restarted(ended):
                self._set(replace(self.state, ended=ended))
                return
            if (ended.finished - started).total_seconds() > _LONG_ENOUGH:
                failures = 0
            delay = min(FIRST_DELAY * 2.0 ** min(failures - 1, 20), LONGEST_DELAY) if failures else 0.0
            failures += 1
            message = f"back-off {delay:g}s restarting failed container" if delay else ""
            if delay:
                self._tell(WARNING, "BackOff", f"Back-off restarting failed container {self._containers}")
            self._set(Server(waiting="CrashLoopBackOff", message=message, restarts=self.state.restarts + 1, last=ended))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()

    async def restart(self, seconds: float) -> None:
        """Stop the server, within `seconds`, so that `run` starts it again."""
        if self._process is not None:
            await self._process.stop(seconds)

    def stop(self) -> Running | None:
        """From now on the server is not started again. Returns its process, which the caller ends, if there is one."""
        self._stopping.set()
        self._tell(NORMAL, "Killing", f"Stopping container {self._containers}")
        return self._process

    def _start(self) -> Running:
        pod, metadata = self._pod, self._pod["metadata"]
        tcp, udp = served_ports(pod)
        return self._node.processes.start_pod(
            f"{metadata['uid']}/{self.state.restarts}",
            self._machine,
            log=str(log_file(self._node.logs, metadata["namespace"], metadata["name"])),
            pod=metadata["name"],
            node=self._node.host.name,
            namespace=metadata["namespace"],
            tcp_ports=tcp,
            udp_ports=udp,
            drain_seconds=_drain_seconds(pod),
        )

    def _is_restarted(self, ended: Ended) -> bool:
        policy = self._pod["spec"].get("restartPolicy", "Always")
        return policy == "Always" or (policy == "OnFailure" and ended.code != 0)

    def _set(self, state: Server) -> None:
        self.state = state
        self._changed()


def served_ports(pod: Object) -> tuple[list[int], list[int]]:
    """The TCP and the UDP ports of a pod's server: those that its containers declare, and the built-in ones.

    A pod on its node's network shares the node's ports with others, so it serves no more than it declares.
    """
    spec = pod["spec"]
    default = () if spec.get("hostNetwork") else DEFAULT_PORTS
    ports = {"TCP": set(default), "UDP": set(default)}
    sidecars = [container for container in spec.get("initContainers") or () if is_sidecar(container)]
    for container in [*spec["containers"], *sidecars]:
        for port in container.get("ports") or ():
            # SCTP is the third that the API allows; the server has none.
            ports.get(port.get("protocol") or "TCP", set()).add(port["containerPort"])
    return sorted(ports["TCP"]), sorted(ports["UDP"])


def _drain_seconds(pod: Object) -> float:
    """How long the server goes on after SIGTERM: environment variable DRAIN_SECONDS of a container, if set."""
    for container in pod["spec"]["containers"]:
        for variable in container.get("env") or ():
            if variable.get("name") == "DRAIN_SECONDS":
                value = str(variable.get("value", ""))
                if not re.fullmatch(r"\d+(\.\d+)?", value):
                    raise InputError(f"DRAIN_SECONDS {value!r}: expected a number of seconds, as 2 or 0.5")
                return float(value)
    return DRAIN_SECONDS
