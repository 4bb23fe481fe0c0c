"""Events: what operators should hear of, as `kubectl describe` shows it on the Node or the Service.

News, not state: nothing depends on them. They are sent in the background, the same news again only raises a count,
and what can't be sent is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from controller.api.client import Client
from controller.api.errors import ApiServerError, NotFoundError

_log = logging.getLogger(__name__)

NORMAL, WARNING = "Normal", "Warning"

#: How long the same news belongs to one series, in seconds. The API server keeps an event for an hour.
SERIES_SECONDS = 360.0

_REMEMBERED = 500  #: series, the latest
_WAITING = 100  #: events that may wait to be sent; what comes when there are so many is dropped
_LONGEST_NOTE = 1024
_NO_NAMESPACE = "default"  # where events about objects without a namespace are


class Regarding(NamedTuple):
    """The object that an event is about."""

    kind: str
    namespace: str
    name: str
    uid: str


class _News(NamedTuple):
    regarding: Regarding
    severity: str
    reason: str
    action: str
    note: str


@dataclass(slots=True)
class _Series:
    path: str
    count: int
    last: float


class EventRecorder:
    """Tells in the name of this node's agent. `tell` never waits; `run` sends, until cancelled."""

    def __init__(self, client: Client, node: str, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._node = node
        self._clock = clock
        self._queue: asyncio.Queue[_News] = asyncio.Queue(_WAITING)
        self._series: dict[_News, _Series] = {}
        self._refused = False

    def tell_of_node(self, severity: str, reason: str, action: str, note: str) -> None:
        # kubectl looks for a node's events under its name as the UID, too.
        self.tell(Regarding("Node", "", self._node, self._node), severity, reason, action, note)

    def tell(self, regarding: Regarding, severity: str, reason: str, action: str, note: str) -> None:
        """`severity` is Normal or Warning; `reason` and `action` are single words in CamelCase."""
        try:
            self._queue.put_nowait(_News(regarding, severity, reason, action, note[:_LONGEST_NOTE]))
        except asyncio.QueueFull:
            _log.debug("too many events wait: dropped %s of %s", reason, regarding.name)

    async def run(self) -> None:
        while True:
            news = await self._queue.get()
            try:
                await self._send(news)
                self._refused = False
            except ApiServerError as error:
                # Once: most often this is a missing permission, or the API server that is away.
                if not self._refused:
                    _log.warning("events can't be sent: %s", error)
                self._refused = True

    async def _send(self, news: _News) -> None:
        now = self._clock()
        series = self._series.pop(news, None)
        if series is not None and now - series.last < SERIES_SECONDS:
            series.count += 1
            series.last = now
            more = {"series": {"count": series.count, "lastObservedTime": _micro_time(now)}}
            try:
                await self._client.patch(series.path, more, msgspec.Raw)
                self._series[news] = series
                return
            except NotFoundError:
                pass  # somebody deleted it: a new one
        collection = f"/apis/events.k8s.io/v1/namespaces/{news.regarding.namespace or _NO_NAMESPACE}/events"
        body = self._event(news, now)
        await self._client.create(collection, body, msgspec.Raw)
        self._series[news] = _Series(f"{collection}/{body['metadata']['name']}", 1, now)
        while len(self._series) > _REMEMBERED:
            del self._series[next(iter(self._series))]

    def _event(self, news: _News, now: float) -> dict[str, Any]:
        regarding = news.regarding
        identity = {"name": regarding.name, "uid": regarding.uid}
        if regarding.namespace:
            identity["namespace"] = regarding.namespace
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{regarding.name}.{uuid.uuid4().hex[:16]}",
                "namespace": regarding.namespace or _NO_NAMESPACE,
            },
            "eventTime": _micro_time(now),
            "reportingController": "svcplane",
            "reportingInstance": f"svcplane-{self._node}"[:128],
            "action": news.action,
            "reason": news.reason,
            "regarding": {"apiVersion": "v1", "kind": regarding.kind, **identity},
            "note": news.note,
            "type": news.severity,
        }


def _micro_time(seconds: float) -> str:
    """A MicroTime: RFC 3339 in UTC with exactly six digits of the second's fraction."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
