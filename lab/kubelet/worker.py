"""One pod's life on its node, from the network to the last goodbye."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from math import inf
from typing import Any

from lab.api.errors import ApiError, Object
from lab.api.registry import PODS
from lab.api.store import Store
from lab.controllers.events import WARNING, EventRecorder
from lab.controllers.objects import is_going
from lab.kubelet.attempt import Target, attempt
from lab.kubelet.node import NodeRuntime
from lab.kubelet.prober import Prober
from lab.kubelet.probes import action_of
from lab.kubelet.server import PodServerRunner
from lab.kubelet.status import Server, pod_status
from lab.network.namespace import Namespace
from lab.network.topology import Pod

log = logging.getLogger(__name__)

_ADDRESS_RETRY = 5.0  #: seconds until a pod without an address asks for one again


class PodWorker:
    """`run` is the pod's life. `update` and `remove` tell it what has become of the object meanwhile."""

    def __init__(self, pod: Object, node: NodeRuntime, store: Store, events: EventRecorder) -> None:
        metadata = pod["metadata"]
        self.name = f"{metadata['namespace']}/{metadata['name']}"
        self.uid: str = metadata["uid"]
        self._pod = pod
        self._node = node
        self._store = store
        self._events = events
        self._since = node.clock()
        self._own_network = not pod["spec"].get("hostNetwork")
        self._machine_name = f"{metadata['namespace']}.{metadata['name']}"
        self._addresses: tuple[str, ...] = ()
        self._removed = False
        self._deadline = inf  #: in the loop's time: when a pod that is going must have ended
        self._updated = asyncio.Event()
        self._server: PodServerRunner | None = None
        self._prober: Prober | None = None
        self.update(pod)

    def update(self, pod: Object) -> None:
        """The object is different now."""
        grace = self._grace
        self._pod = pod
        if is_going(pod) and (self._deadline == inf or self._grace < grace):
            self._deadline = asyncio.get_running_loop().time() + self._grace
        self._updated.set()

    def remove(self) -> None:
        """The object is gone: there is nobody left to be graceful for."""
        self._removed = True
        self._deadline = 0.0
        self._updated.set()

    async def run(self) -> None:
        """Returns when nothing is left of the pod, neither here nor in the API."""
        try:
            machine = await self._join_network()
            if machine is not None:
                await self._live(machine)
        except Exception as error:
            log.exception("%s can not be run", self.name)
            self._tell(WARNING, "Failed", f"Failed to run the pod: {error}")
            self._publish_waiting("RunContainerError", str(error))
        finally:
            await self._leave_network()
        await self._until_going()
        self._confirm_deletion()

    async def _join_network(self) -> Namespace | None:
        """The pod's machine; None if the pod is deleted before it could have one."""
        if not self._own_network:
            self._addresses = self._node.host.addresses
            return self._node.machine
        self._publish_waiting("ContainerCreating")
        while not self._is_going:
            try:
                self._addresses = self._node.addresses.take()
            except LookupError as error:
                self._tell(WARNING, "FailedCreatePodSandBox", f"Failed to set up the pod's network: {error}")
                self._publish_waiting("ContainerCreating", str(error))
                await self._news(_ADDRESS_RETRY)
                continue
            pod = Pod(self._machine_name, self._node.host.name, self._addresses)
            return await asyncio.to_thread(self._node.network.add_pod, pod)
        return None

    async def _leave_network(self) -> None:
        if self._own_network and self._addresses:
            await asyncio.to_thread(self._node.network.remove_pod, self._machine_name)
            self._node.addresses.give_back(self._addresses)

    async def _live(self, machine: Namespace) -> None:
        """Run the server until it is over, or until the pod is deleted and stopped."""
        target = Target(self._addresses[0], machine, self._node.machine)
        server = self._server = PodServerRunner(self._pod, self._node, machine, changed=self._publish, tell=self._tell)
        prober = self._prober = Prober(
            self._pod,
            target,
            changed=self._publish,
            restart=lambda: server.restart(self._grace),
            tell=self._tell,
        )
        running = asyncio.create_task(server.run(prober.run))
        going = asyncio.create_task(self._until_going())
        try:
            await asyncio.wait((running, going), return_when=asyncio.FIRST_COMPLETED)
            if going.done():
                prober.stop_restarting()
                await self._stop(server, target)
            await running
        finally:
            going.cancel()
            running.cancel()

    async def _stop(self, server: PodServerRunner, target: Target) -> None:
        """The preStop hooks, then SIGTERM, and SIGKILL when the grace period is over."""
        hooks = asyncio.create_task(self._pre_stop(target))
        await self._until_deadline(hooks)
        hooks.cancel()
        process = server.stop()
        if process is not None:
            process.signal(signal.SIGTERM)
            await self._until_deadline(process.exited)
            process.signal(signal.SIGKILL)
            await asyncio.wait((process.exited,))

    async def _pre_stop(self, target: Target) -> None:
        for container in self._pod["spec"]["containers"]:
            hook = (container.get("lifecycle") or {}).get("preStop")
            if not hook:
                continue
            if sleep := hook.get("sleep"):
                await asyncio.sleep(sleep["seconds"])
            else:
                failure = await attempt(action_of(container, hook), target, timeout=self._grace)
                if failure is not None:
                    self._tell(WARNING, "FailedPreStopHook", f"PreStopHook of {container['name']} failed: {failure}")

    async def _until_deadline(self, future: asyncio.Future[Any]) -> None:
        """Wait for this, but no longer than the grace period, which a second delete may shorten."""
        while not future.done():
            seconds = self._deadline - asyncio.get_running_loop().time()
            if seconds <= 0:
                return
            news = asyncio.create_task(self._news(seconds))
            await asyncio.wait((future, news), return_when=asyncio.FIRST_COMPLETED)
            news.cancel()

    @property
    def _grace(self) -> float:
        """Seconds that the pod has to end."""
        given = self._pod["metadata"].get("deletionGracePeriodSeconds")
        return float(self._pod["spec"].get("terminationGracePeriodSeconds", 30) if given is None else given)

    @property
    def _is_going(self) -> bool:
        return self._removed or is_going(self._pod)

    async def _until_going(self) -> None:
        while not self._is_going:
            await self._news(None)

    async def _news(self, seconds: float | None) -> None:
        """Wait until the object is different, or for so long."""
        self._updated.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._updated.wait()

    def _tell(self, kind: str, reason: str, message: str) -> None:
        self._events.record(PODS, self._pod, kind, reason, message)

    def _publish(self) -> None:
        """Write the pod's status as it is now."""
        if self._server is not None:
            self._write_status(self._server.state)

    def _publish_waiting(self, reason: str, message: str = "") -> None:
        """Write that the pod does not run, and why."""
        self._write_status(Server(waiting=reason, message=message))

    def _write_status(self, server: Server) -> None:
        with contextlib.suppress(ApiError):  # 404: deleted by force, and `remove` is about to be called
            pod = self._store.get(PODS, *self.name.split("/"))
            if pod["metadata"]["uid"] != self.uid:
                return
            status = pod_status(
                pod,
                server,
                ready=self._prober.ready if self._prober else {},
                started=self._prober.started if self._prober else {},
                addresses=self._addresses,
                host_addresses=self._node.host.addresses,
                since=self._since,
                now=self._node.clock(),
            )
            self._store.update(PODS, pod | {"status": status}, subresource="status")

    def _confirm_deletion(self) -> None:
        with contextlib.suppress(ApiError):  # 404 or 409: deleted by force meanwhile
            self._store.delete(PODS, *self.name.split("/"), grace_seconds=0, uid=self.uid)
