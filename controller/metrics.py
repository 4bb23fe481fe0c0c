"""What the agent measures, under kube-proxy's names where kube-proxy has it, else as ``svcplane_...``.

Both families are programmed in one transaction, so metrics that kube-proxy has for each family have the same values
for both. Durations are in seconds, times in seconds since 1970.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from dataplane.interface import Applied
from dataplane.table import Family
from dataplane.version import VERSION

_FAMILIES = tuple(family.word for family in Family)
#: kube-proxy's word for it, by mode
_FAILURES = {
    "nftables": "nftables_sync",
    "iptables": "iptables_restore",
    "ipvs": "iptables_restore",
    "userspace": "userspace_sync",
}
_SYNC_BUCKETS = tuple(0.001 * 2**n for n in range(15))
_LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, *range(1, 60), *range(60, 120, 5), *range(120, 301, 30))


class Metrics:
    """Everything that is counted when it happens. `controller.metrics_state` has what is looked up when asked."""

    def __init__(self, mode: str = "nftables") -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

        def by_family(kind: type[Histogram], name: str, text: str, buckets: Iterable[float]) -> list[Histogram]:
            metric = kind(name, text, ["ip_family"], registry=registry, buckets=tuple(buckets))
            return [metric.labels(family) for family in _FAMILIES]

        def of_sync(name: str, text: str) -> list[Histogram]:
            return by_family(Histogram, f"kubeproxy_{name}_duration_seconds", text, _SYNC_BUCKETS)

        self._syncs = of_sync("sync_proxy_rules", "Duration of a synchronisation, from the changes to the kernel.")
        self._full_syncs = of_sync("sync_full_proxy_rules", "Duration of a synchronisation that wrote everything.")
        self._partial_syncs = of_sync(
            "sync_partial_proxy_rules", "Duration of a synchronisation that wrote only what changed."
        )
        self._latencies = by_family(
            Histogram,
            "kubeproxy_network_programming_duration_seconds",
            "From the change of a pod or Service (as its EndpointSlice tells) to rules in force.",
            _LATENCY_BUCKETS,
        )
        failures = Counter(
            f"kubeproxy_sync_proxy_rules_{_FAILURES[mode]}_failures",
            "Synchronisations that the kernel refused. All of each is undone, and it is tried again.",
            ["ip_family"],
            registry=registry,
        )
        self._failures = [failures.labels(family) for family in _FAMILIES]
        self._reconciliations = by_family(
            Histogram,
            "kubeproxy_conntrack_reconciler_sync_duration_seconds",
            "How long it took to find and forget the flows that went where nobody serves them any more.",
            _SYNC_BUCKETS,
        )
        forgotten = Counter(
            "kubeproxy_conntrack_reconciler_deleted_entries",
            "Flows forgotten because they went where nobody serves them any more.",
            ["ip_family"],
            registry=registry,
        )
        self._forgotten = {family: forgotten.labels(family.word) for family in Family}
        self._operations = Counter(
            "svcplane_operations", "Elements, rules, chains and sets written or removed.", registry=registry
        )
        cleanups = Counter(
            "kubeproxy_sync_proxy_rules_nftables_cleanup_failures",
            "How often what nobody needs any more could not be deleted. It is tried again.",
            ["ip_family"],
            registry=registry,
        )
        self._cleanup_failures = [cleanups.labels(family) for family in _FAMILIES]
        self._repairs = Counter(
            "svcplane_repairs",
            "How often somebody else had changed our rules, and they were repaired.",
            registry=registry,
        )
        build = Gauge("svcplane_build_info", "Always 1.", ["version", "python"], registry=registry)
        build.labels(VERSION, platform.python_version()).set(1)
        self._kubernetes_build_info()

    def _kubernetes_build_info(self) -> None:
        """With the labels that kube-proxy's has; what only a Go program knows is empty."""
        words = {"git_version": f"v{VERSION}", "compiler": platform.python_implementation().lower()}
        words["platform"] = f"{platform.system().lower()}/{platform.machine()}"
        labels = [
            "build_date",
            "compiler",
            "git_commit",
            "git_tree_state",
            "git_version",
            "go_version",
            "major",
            "minor",
            "platform",
        ]
        words["major"], words["minor"], *_ = VERSION.split(".")
        text = "Always 1. The version is svcplane's."
        gauge = Gauge("kubernetes_build_info", text, labels, registry=self.registry)
        gauge.labels(**{label: words.get(label, "") for label in labels}).set(1)

    def synchronised(self, applied: Applied, seconds: float, triggered: Iterable[float], now: float) -> None:
        """A sync has worked. `seconds`: all of it; `triggered`: when its changes began, in seconds since 1970."""
        for metric in (*self._syncs, *(self._full_syncs if applied.full else self._partial_syncs)):
            metric.observe(seconds)
        for time in triggered:
            for metric in self._latencies:
                metric.observe(max(0.0, now - time))
        if applied.forgetting_seconds is not None:
            for metric in self._reconciliations:
                metric.observe(applied.forgetting_seconds)
        if applied.cleanup_failed:
            for failures in self._cleanup_failures:
                failures.inc()
        for family, number in applied.flows_forgotten.items():
            self._forgotten[family].inc(number)
        self._operations.inc(applied.operations)

    def failed(self) -> None:
        """A sync has failed."""
        for metric in self._failures:
            metric.inc()

    def repaired(self) -> None:
        """Our rules were not as we had left them."""
        self._repairs.inc()
