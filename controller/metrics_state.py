"""Metrics that are not counted but looked up, at the moment that somebody asks for them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.api.client import Client
from controller.api.reflector import Reflector
from controller.cluster import Cluster
from controller.compiler import Compiler
from controller.health import Health
from controller.health_server import HealthServer
from dataplane.table import Family

_POLICIES = ("internal", "external")


@dataclass(frozen=True, eq=False)
class StateCollector(Collector):
    """Reads the parts of an agent. It runs in the agent's own event loop, so they hold still meanwhile."""

    health: Health
    health_server: HealthServer
    cluster: Cluster
    compiler: Compiler
    reflectors: Sequence[Reflector[Any]]
    client: Client

    def collect(self) -> Iterable[Metric]:
        yield from self._times()
        yield from self._changes()
        yield from self._table()
        yield from self._health()
        yield from self._reflectors()
        host = urlsplit(self.client.access.server).netloc
        yield _counter(
            "rest_client_requests",
            "Requests to the API server, by method and code; <error> if there was no answer.",
            ("code", "method", "host"),
            {(code, method, host): n for (code, method), n in self.client.requests.items()},
        )

    def _times(self) -> Iterator[Metric]:
        for name, text, value in (
            ("timestamp", "When the last synchronisation worked.", self.health.updated),
            ("queued_timestamp", "When a synchronisation was last asked for.", self.health.requested_last),
        ):
            values = {(family.word,): value or 0.0 for family in Family}
            yield _gauge(f"kubeproxy_sync_proxy_rules_last_{name}_seconds", text, ("ip_family",), values)

    def _changes(self) -> Iterator[Metric]:
        for name, what, count in (
            ("service", "Services", self.cluster.service_changes),
            ("endpoint", "EndpointSlices", self.cluster.slice_changes),
        ):
            prefix = f"kubeproxy_sync_proxy_rules_{name}_changes"
            yield _counter(prefix, f"Changes of {what} that were seen.", (), {(): count.seen})
            yield _gauge(f"{prefix}_pending", f"Changes of {what} that wait to be programmed.", (), {(): count.pending})

    def _table(self) -> Iterator[Metric]:
        shortages = {(family.word, policy): 0 for family in Family for policy in _POLICIES}
        for shortage, number in self.compiler.shortages.items():
            shortages[shortage.family.word, shortage.policy] += number
        yield _gauge(
            "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
            "Service ports with a Local traffic policy that have endpoints, but none on this node.",
            ("ip_family", "traffic_policy"),
            shortages,
        )
        table = self.compiler.table
        yield _gauge("svcplane_services", "Services that are known.", (), {(): len(self.cluster.services.objects)})
        yield _gauge("svcplane_frontends", "Addresses and ports that are served.", (), {(): len(table.frontends)})
        yield _gauge(
            "svcplane_conflicts",
            "Addresses and ports that several Services claim; the oldest of them has it.",
            (),
            {(): len(self.compiler.conflicts)},
        )

    def _health(self) -> Iterator[Metric]:
        for path in ("healthz", "livez"):
            counts = {(str(code),): self.health_server.answers[path, code] for code in (200, 503)}
            yield _counter(f"kubeproxy_proxy_{path}", f"Answers of /{path}, by code.", ("code",), counts)
        healthy = {(): float(self.health.healthy)}
        yield _gauge("svcplane_healthy", "1 if nothing waits for too long to be programmed.", (), healthy)

    def _reflectors(self) -> Iterator[Metric]:
        def each(name: str, text: str, values: Mapping[str, float]) -> Metric:
            family = _counter if name.endswith(("lists", "watches")) else _gauge
            return family(f"svcplane_reflector_{name}", text, ("resource",), {(k,): v for k, v in values.items()})

        now = time.monotonic()
        of = {reflector.resource.name: reflector for reflector in self.reflectors}
        yield each("connected", "1 while a watch is open.", {n: r.connected for n, r in of.items()})
        yield each("synced", "1 once there has been a complete list.", {n: r.synced.is_set() for n, r in of.items()})
        yield each("lists", "Complete lists that were read.", {n: r.lists for n, r in of.items()})
        yield each(
            "unreadable", "Objects left out, as they can't be read.", {n: len(r.unreadable) for n, r in of.items()}
        )
        silences = {n: now - r.last_contact for n, r in of.items() if r.last_contact is not None}
        yield each("silence_seconds", "How long ago the API server last said anything.", silences)


_Values = Mapping[Any, float]  # by the tuple of their labels' values


def _gauge(name: str, text: str, labels: Sequence[str], values: _Values) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, text: str, labels: Sequence[str], values: _Values) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
