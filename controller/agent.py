"""The agent: everything that runs on a node, joined together.

    reflectors ──► Cluster ──► Compiler ──► Dataplane
       (what the API server says)   (what follows)   (what packets meet)

Changes wait in the Cluster until the Runner lets the next synchronisation begin. Nothing is programmed before
the first complete lists are in; and when something fails, the last good state stays in force.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from controller.api.client import Client
from controller.api.reflector import Reflector
from controller.api.resources import ENDPOINT_SLICES, SERVICE_CIDRS, SERVICES, own_node
from controller.cluster import Cluster
from controller.compile import NodeView
from controller.compiler import Compiler, Conflict, ServiceKey
from controller.connection_table import ConnectionTable
from controller.events import NORMAL, WARNING, EventRecorder, Regarding
from controller.garbage import keep, no_collection
from controller.health import Health
from controller.health_check_servers import HealthCheckServers
from controller.health_server import HealthServer
from controller.interfaces import watch_interface_addresses
from controller.listener import Listener
from controller.metrics import Metrics
from controller.metrics_packets import PacketMetrics
from controller.metrics_server import metrics_application
from controller.metrics_state import StateCollector
from controller.metrics_traffic import TrafficMetrics
from controller.node import NodeOptions, node_view
from controller.objects import Node
from controller.runner import Pace, Runner
from dataplane.conntrack_room import RoomSource
from dataplane.errors import InputError
from dataplane.interface import Dataplane, DataplaneError
from dataplane.packets import PacketSource
from dataplane.traffic import TrafficSource
from dataplane.version import VERSION

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

# How long to wait for the node's own addresses, as kube-proxy does, before going on without them.
_PATIENCE_FOR_ADDRESSES = 30.0
# How often to ask whether somebody else wrote to our rules.
_TAMPER_INTERVAL = 1.0
# How long until a health check's port that was taken is tried again, if no sync comes before.
_HEALTH_CHECK_INTERVAL = 10.0
# How many changes are timed at most, of those that one sync programs.
_MOST_TRIGGERS = 10_000
# How many Services one line of the log names at most.
_MOST_NAMES = 20


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """How the agent runs.

    `healthz`, `metrics`: (address, port) to answer on, or None. `insist_on_addresses`: if one is taken, end.
    `configuration` is what `/configz` shows, `flags` what `/flagz` shows, and `mode` what `/proxyMode` says.
    `traffic_series`: how many Services, and how many backends, may have series of their own in `/metrics`.
    """

    node: NodeOptions
    pace: Pace = field(default_factory=Pace)
    healthz: tuple[str, int] | None = ("0.0.0.0", 10256)
    metrics: tuple[str, int] | None = None
    insist_on_addresses: bool = False
    mode: str = "nftables"
    configuration: Mapping[str, Any] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    traffic_series: int = 1000


class Agent:
    """One node's agent. `run` ends only by being cancelled; what is programmed stays then.

    `traffic` is who counts what the dataplane forwards, if anybody does, and `room` who can say whether the kernel's
    connection table is full. `packets` is the dataplane if it handles packets itself.
    """

    def __init__(
        self,
        options: AgentOptions,
        client: Client,
        dataplane: Dataplane,
        traffic: TrafficSource | None = None,
        room: RoomSource | None = None,
        packets: PacketSource | None = None,
    ) -> None:
        self._options = options
        self._dataplane = dataplane
        # The dataplane is used by one thread at a time: this one. The event loop goes on reading meanwhile.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dataplane")
        self._runner = Runner(self._synchronise, options.pace)
        self._cluster = Cluster(self._changed)
        self._reflectors = (
            Reflector(client, SERVICES, self._cluster.services),
            Reflector(client, ENDPOINT_SLICES, self._cluster.slices),
            Reflector(client, own_node(options.node.name), self._cluster.nodes),
            Reflector(client, SERVICE_CIDRS, self._cluster.service_cidrs),
        )
        self._addresses: frozenset[str] | None = None
        self._started = time.monotonic()
        self._node: Node | None = None  # as it last was: its zone and addresses count also when it is deleted
        self._view: NodeView | None = None  # what is programmed, or being programmed, depends on
        self._failing = False  # the last sync has failed, and the Node has been told
        self._triggered: list[float] = []  # when the changes began that are not programmed yet
        self._compiler = Compiler(node_view(options.node, None, ()))
        self._conflicts: tuple[Conflict, ...] = ()
        self._complaints: Mapping[ServiceKey, tuple[str, ...]] = {}
        self.health = Health(limit=2 * options.pace.retry_most)
        self._health_server = HealthServer(self.health)
        self.metrics = Metrics(options.mode)
        self.metrics.registry.register(
            StateCollector(self.health, self._health_server, self._cluster, self._compiler, self._reflectors, client)
        )
        self._traffic: TrafficMetrics | None = None
        if traffic is not None:
            self._traffic = TrafficMetrics(traffic, lambda: self._compiler.table, options.traffic_series)
            self.metrics.registry.register(self._traffic)
        self._health_checks = HealthCheckServers(lambda: self.health.healthy, self._health_check_failed)
        self.events = EventRecorder(client, options.node.name)
        self._connection_table = None if room is None else ConnectionTable(room, self.events.tell_of_node)
        if self._connection_table is not None:
            self.metrics.registry.register(self._connection_table)
        self._packets = None if packets is None else PacketMetrics(packets, self.events.tell_of_node)
        if self._packets is not None:
            self.metrics.registry.register(self._packets)

    async def run(self) -> None:
        """Watch the cluster and keep the dataplane as it asks."""
        self.events.tell_of_node(
            NORMAL, "Starting", "StartKubeProxy", f"svcplane {VERSION} in mode {self._options.mode}"
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                for listener in self._listeners():
                    tasks.create_task(listener.run(insist=self._options.insist_on_addresses))
                tasks.create_task(self.events.run())
                tasks.create_task(self._runner.run())
                tasks.create_task(self._watch_addresses())
                tasks.create_task(self._watch_tampering())
                tasks.create_task(self._retry_health_checks())
                if self._connection_table is not None:
                    tasks.create_task(self._connection_table.run())
                if self._packets is not None:
                    tasks.create_task(self._packets.run())
                for reflector in self._reflectors:
                    tasks.create_task(reflector.run())
                    tasks.create_task(self._when_listed(reflector.synced))
                await asyncio.sleep(_PATIENCE_FOR_ADDRESSES)
                self._changed()
        except ExceptionGroup as group:
            wrong = group.subgroup(InputError)
            if wrong is None:
                raise
            raise wrong.exceptions[0] from None
        finally:
            await self._health_checks.close()
            if self._traffic is not None:
                self._traffic.close()
            # What is being programmed now is finished: whoever owns the dataplane may close it after this.
            self._thread.shutdown(wait=True, cancel_futures=True)

    def _changed(self) -> None:
        node = self.health.node = self._cluster.nodes.objects.get(("", self._options.node.name))
        self._node = node or self._node
        self._runner.request()
        if self._ready():
            self.health.requested()

    async def _when_listed(self, synced: asyncio.Event) -> None:
        await synced.wait()
        self._changed()

    def _ready(self) -> bool:
        """Whether enough is known to program anything: complete lists, and the addresses of this node."""
        if self._view is not None:
            return True
        if self._addresses is None or not all(r.synced.is_set() for r in self._reflectors):
            return False
        waited = time.monotonic() - self._started >= _PATIENCE_FOR_ADDRESSES
        return waited or bool(self._current_view().addresses)

    def _current_view(self) -> NodeView:
        view = node_view(self._options.node, self._node, self._addresses or ())
        return replace(view, picks=self._dataplane.picks)

    async def _synchronise(self) -> str:
        """What had to be left for later, in words: the rules are in force then."""
        if not self._ready():
            return ""
        began = time.perf_counter()
        self.health.requested()
        view = self._current_view()
        changes = self._cluster.take_changes()
        # Bounded, as syncs may fail for hours: those that wait longest count.
        self._triggered = [*self._triggered, *self._cluster.trigger_times.take()][:_MOST_TRIGGERS]
        first = self.health.updated is None
        if view != self._view:
            changes = {**changes, **self._cluster.everything()}
            self._view = view
        with no_collection(first):
            table = self._compiler.update(changes, view, self._cluster.networks())
        self._tell_conflicts()
        self._tell_complaints()
        compiled = time.perf_counter()
        try:
            with no_collection(first):
                applied = await self._in_thread(lambda: self._dataplane.apply(table))
        except DataplaneError as error:
            self.metrics.failed()
            if not self._failing:
                self.events.tell_of_node(WARNING, "FailedToSync", "Sync", f"{error}; the last good rules stay in force")
            self._failing = True
            raise
        self._failing = False
        self.health.succeeded()
        self.metrics.synchronised(applied, time.perf_counter() - began, self._triggered, time.time())
        self._triggered.clear()
        await self._health_checks.update(self._compiler.health_checks, view.node_port_addresses)
        if first:
            keep()
        if applied.operations or first:
            _log.info(
                "synced %s: %d operations%s, compiled in %.1f ms, programmed in %.1f ms",
                _names(changes),
                applied.operations,
                " (everything)" if applied.full else "",
                1000 * (compiled - began),
                1000 * applied.seconds,
                extra={
                    "services": ["/".join(key) for key in sorted(changes)[:_MOST_NAMES]],
                    "services_changed": len(changes),
                    "operations": applied.operations,
                    "full": applied.full,
                    "compile_seconds": round(compiled - began, 6),
                    "program_seconds": round(applied.seconds, 6),
                },
            )
        return applied.unfinished

    def _tell_conflicts(self) -> None:
        conflicts = self._compiler.conflicts
        for conflict in conflicts:
            if conflict not in self._conflicts:
                winner = "/".join(conflict.winner)
                losers = ", ".join("/".join(loser) for loser in conflict.losers)
                _log.warning("%s is claimed by %s, and served for %s", conflict.key, losers, winner)
                note = f"{conflict.key} is served for {winner}, which claimed it before"
                for loser in conflict.losers:
                    self._tell_of_service(loser, "FrontendConflict", "Program", note)
        self._conflicts = conflicts

    def _tell_complaints(self) -> None:
        complaints = dict(self._compiler.complaints)
        for key, notes in complaints.items():
            for note in notes:
                if note not in self._complaints.get(key, ()):
                    _log.warning("%s: %s", "/".join(key), note)
                    self._tell_of_service(key, "AnnotationNotHeeded", "Program", note)
        self._complaints = complaints

    async def _watch_addresses(self) -> None:
        def moved(addresses: frozenset[str]) -> None:
            if addresses != self._addresses:
                self._addresses = addresses
                self._changed()

        while True:
            try:
                await watch_interface_addresses(moved)
            except OSError as error:
                _log.error("can't watch this host's addresses: %s", error)
            await asyncio.sleep(1)

    async def _watch_tampering(self) -> None:
        while True:
            await asyncio.sleep(_TAMPER_INTERVAL)
            try:
                if self._view is None or not await self._in_thread(self._dataplane.tampered):
                    continue
                drift = await self._in_thread(self._dataplane.audit)
            except (DataplaneError, OSError) as error:
                _log.error("can't look at our rules: %s", error)
                continue
            if drift:
                missing, foreign = ", ".join(drift.missing[:3]), ", ".join(drift.foreign[:3])
                _log.warning(
                    "somebody changed our rules: %d objects missing (%s), %d too many (%s); repairing",
                    len(drift.missing),
                    missing,
                    len(drift.foreign),
                    foreign,
                )
                note = (
                    f"somebody changed our rules: {len(drift.missing)} objects missing, {len(drift.foreign)} too many"
                )
                self.events.tell_of_node(WARNING, "RulesTampered", "Repair", note)
                self.metrics.repaired()
                self._changed()

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _listeners(self) -> Iterator[Listener]:
        if self._options.healthz is not None:
            application = self._health_server.application
            yield Listener("healthzBindAddress", application, self._options.healthz, self._healthz_failed)
        if self._options.metrics is not None:
            application = metrics_application(
                self.metrics.registry,
                self._options.mode,
                lambda: self._options.configuration,
                flags=self._options.flags,
                health=self.health,
                refresh=self._traffic.refresh if self._traffic else None,
            )
            yield Listener("metricsBindAddress", application, self._options.metrics, self._metrics_failed)

    def _healthz_failed(self, reason: str) -> None:
        _log.error("%s", reason)
        self.events.tell_of_node(WARNING, "FailedToStartProxierHealthcheck", "StartKubeProxy", reason)

    def _metrics_failed(self, reason: str) -> None:
        _log.error("%s", reason)
        self.events.tell_of_node(WARNING, "FailedToStartMetricServer", "StartKubeProxy", reason)

    def _health_check_failed(self, service: ServiceKey, reason: str) -> None:
        _log.error("%s: %s", "/".join(service), reason)
        self._tell_of_service(service, "FailedToStartServiceHealthcheck", "Listen", reason)

    def _tell_of_service(self, key: ServiceKey, reason: str, action: str, note: str) -> None:
        service = self._cluster.services.objects.get(key)
        if service is not None:
            self.events.tell(Regarding("Service", *key, service.metadata.uid), WARNING, reason, action, note)

    async def _retry_health_checks(self) -> None:
        while True:
            await asyncio.sleep(_HEALTH_CHECK_INTERVAL)
            if self._health_checks.incomplete and self._view is not None:
                await self._health_checks.update(self._compiler.health_checks, self._view.node_port_addresses)


def _names(changes: object) -> str:
    keys: list[ServiceKey] = sorted(changes)  # type: ignore[call-overload]
    shown = ", ".join("/".join(key) for key in keys[:3])
    return f"{len(keys)} services ({shown}{', ...' if len(keys) > 3 else ''})" if keys else "no services"
