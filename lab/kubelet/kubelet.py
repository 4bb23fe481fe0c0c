"""Follows the pods that are bound to one node, with one worker for each."""

from __future__ import annotations

import asyncio
import logging

from lab.api.errors import ApiError, Object
from lab.api.registry import PODS
from lab.api.selectors import FieldSelector
from lab.api.store import Store
from lab.controllers.events import EventRecorder
from lab.kubelet.node import NodeRuntime
from lab.kubelet.worker import PodWorker

log = logging.getLogger(__name__)


class Kubelet:
    """The kubelet of the node that `node` describes. `run` does everything."""

    def __init__(self, store: Store, node: NodeRuntime) -> None:
        self._store = store
        self._node = node
        self._events = EventRecorder(store, node.clock, "kubelet")
        self._workers: dict[str, PodWorker] = {}  #: by uid
        self._tasks: dict[str, asyncio.Task[None]] = {}  #: by namespace/name: the latest life of this name

    async def run(self) -> None:
        """Until it is cancelled. The pods are left as they are then: whoever cancels removes their machines."""
        mine = FieldSelector.parse(f"spec.nodeName={self._node.host.name}")
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await self._follow(mine, group)
                except ApiError as error:  # 410: more happened at once than the store remembers
                    log.info("%s: watching pods anew: %s", self._node.host.name, error)

    async def _follow(self, mine: FieldSelector, group: asyncio.TaskGroup) -> None:
        pods, version = self._store.list(PODS, fields=mine)
        for uid in self._workers.keys() - {pod["metadata"]["uid"] for pod in pods}:
            self._workers[uid].remove()
        for pod in pods:
            self._see(pod, group)
        async for event in self._store.watch(PODS, version, fields=mine):
            if event.type != "DELETED":
                self._see(event.object, group)
            elif worker := self._workers.get(event.object["metadata"]["uid"]):
                worker.remove()

    def _see(self, pod: Object, group: asyncio.TaskGroup) -> None:
        uid = pod["metadata"]["uid"]
        if uid in self._workers:
            self._workers[uid].update(pod)
            return
        if not self._still_exists(pod):
            return
        worker = self._workers[uid] = PodWorker(pod, self._node, self._store, self._events)
        task = group.create_task(self._live(worker, self._tasks.get(worker.name)))
        self._tasks[worker.name] = task

    async def _live(self, worker: PodWorker, predecessor: asyncio.Task[None] | None) -> None:
        """A pod may be deleted by force and made again by the same name: the new one waits for the old one's end."""
        if predecessor is not None:
            await asyncio.wait((predecessor,))
        try:
            await worker.run()
        except Exception:  # one pod's trouble must not stop the others
            log.exception("%s has ended badly", worker.name)
        finally:
            del self._workers[worker.uid]
            if self._tasks.get(worker.name) is asyncio.current_task():
                del self._tasks[worker.name]

    def _still_exists(self, pod: Object) -> bool:
        """A worker's last words may reach us when it has finished; they are not a new pod."""
        try:
            current = self._store.get(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"])
        except ApiError:
            return False
        return bool(current["metadata"]["uid"] == pod["metadata"]["uid"])
