"""What Kubernetes' components show of themselves: `/statusz` and `/flagz` for people, `/metrics/slis` for monitors."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.health import Health
from dataplane.version import VERSION

_WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is "
    "for debugging purposes only."
)
_STARTED, _STARTED_BY_STOPWATCH = time.time(), time.monotonic()


def status_page(paths: Iterable[str]) -> str:
    """What runs here, since when, and what else it shows."""
    minutes, seconds = divmod(int(time.monotonic() - _STARTED_BY_STOPWATCH), 60)
    hours, minutes = divmod(minutes, 60)
    lines = (
        "svcplane statusz",
        _WARNING,
        "",
        f"Started: {time.strftime('%a %b %d %H:%M:%S UTC %Y', time.gmtime(_STARTED))}",
        f"Up: {hours} hr {minutes:02} min {seconds:02} sec",
        f"Python version: {platform.python_version()}",
        f"Binary version: {VERSION}",
        f"Paths: {' '.join(sorted(paths))}",
    )
    return "\n".join(lines) + "\n"


def flags_page(flags: Mapping[str, str]) -> str:
    """Every flag with the value in force, whether it was given, came from the file, or is the default."""
    values = (f"{name.lstrip('-')}={value}" for name, value in sorted(flags.items()))
    return "\n".join(("svcplane flagz", _WARNING, "", *values)) + "\n"


def service_levels(health: Health) -> CollectorRegistry:
    """`kubernetes_healthcheck`, 1 while all is well, as every component has it: once for each thing that is checked."""
    registry = CollectorRegistry()
    registry.register(_ServiceLevels(health))
    return registry


class _ServiceLevels(Collector):
    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterable[Metric]:
        text = "Whether a check succeeds (1) or fails (0)."
        gauge = GaugeMetricFamily("kubernetes_healthcheck", text, labels=["name", "type"])
        gauge.add_metric(["sync-proxy-rules", "livez"], float(self._health.healthy))
        healthy = self._health.updated is not None and self._health.healthy and self._health.node_eligible
        gauge.add_metric(["sync-proxy-rules", "healthz"], float(healthy))
        yield gauge
