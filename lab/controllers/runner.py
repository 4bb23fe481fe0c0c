"""Runs controllers: changes become keys in a queue, keys are reconciled one after another.

Level-triggered: a key says where to look, not what happened. Whoever looks compares what is with what should
be, so it does not matter how many changes there were, in which order, or whether one was missed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from lab.api.errors import ApiError
from lab.api.store import Store
from lab.controllers.collection import Change, Collection
from lab.controllers.objects import Key, key_of
from lab.controllers.view import View
from lab.controllers.work_queue import WorkQueue

log = logging.getLogger(__name__)


class Controller(Protocol):
    """Keeps one kind of thing as it should be."""

    @property
    def name(self) -> str:
        """For logs."""

    def concerned(self, change: Change) -> Iterable[Key]:
        """The keys that need a look because of this change."""

    def reconcile(self, key: Key) -> float | None:
        """Make what belongs to this key as it should be. Does not wait, so nothing changes meanwhile.

        Returns in how many seconds it wants to look again even if nothing changes. ApiError: tried again later.
        """


class _Task(NamedTuple):
    controller: Controller
    key: Key


class Runner:
    """Keeps `controllers` going on one store."""

    def __init__(
        self,
        store: Store,
        controllers: Callable[[Store, View], Sequence[Controller]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue: WorkQueue[_Task] = WorkQueue(clock)
        self._view = View(store, self._changed)
        self._controllers = controllers(store, self._view)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for collection in self._view.collections:
                tasks.create_task(_follow(collection))
            tasks.create_task(self._work())

    def settle(self) -> None:
        """Do at once all that can be done without waiting. For tests, and for whoever wants to see step by step."""
        self._catch_up()
        while self._queue.has_work():
            self._reconcile(self._queue.take())
            self._catch_up()

    def _catch_up(self) -> None:
        for collection in self._view.collections:
            collection.catch_up()

    def _changed(self, change: Change) -> None:
        for controller in self._controllers:
            try:
                for key in controller.concerned(change):
                    self._queue.add(_Task(controller, key))
            except Exception:  # as in _reconcile; and the others must hear of the change
                log.exception("%s: cannot tell what %s concerns", controller.name, key_of(change.object))

    async def _work(self) -> None:
        while True:
            task = await self._queue.get()
            self._reconcile(task)
            await asyncio.sleep(0)  # the API server's clients want their turn, too

    def _reconcile(self, task: _Task) -> None:
        try:
            again = task.controller.reconcile(task.key)
        except ApiError as error:
            delay = self._queue.retry(task)
            log.info("%s: %s: %s (again in %.2g s)", task.controller.name, task.key, error, delay)
        except Exception:  # a mistake in one controller must not stop the others
            delay = self._queue.retry(task)
            log.exception("%s: %s failed (again in %.2g s)", task.controller.name, task.key, delay)
        else:
            self._queue.succeeded(task)
            if again is not None:
                self._queue.add_after(task, again)


async def _follow(collection: Collection) -> None:
    while True:
        collection.catch_up()
        await collection.wait()
