"""Metrics: kube-proxy's names with what they say, on whole agents."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from controller.configuration.check import MODES
from controller.health import Health
from controller.metrics import Metrics
from controller.metrics_page import NOT_HERE, metrics_page
from controller.metrics_server import metrics_application
from dataplane.interface import Applied
from dataplane.table import Family
from dataplane.version import VERSION
from whole_agent import NODE, SERVICE, Scene, node, service, with_agent


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


class TestASync:
    def test_is_observed_for_both_families_and_by_its_kind(self) -> None:
        metrics = Metrics()
        metrics.synchronised(Applied(full=True, operations=7, seconds=0.1), 0.2, (), now=0.0)
        metrics.synchronised(Applied(full=False, operations=1, seconds=0.1), 0.2, (), now=0.0)
        for family in ("IPv4", "IPv6"):
            counts = [
                sample(metrics.registry, f"kubeproxy_{name}_duration_seconds_count", ip_family=family)
                for name in ("sync_proxy_rules", "sync_full_proxy_rules", "sync_partial_proxy_rules")
            ]
            assert counts == [2, 1, 1]
        assert sample(metrics.registry, "svcplane_operations_total") == 8

    def test_tells_how_long_ago_its_changes_began(self) -> None:
        metrics = Metrics()
        metrics.synchronised(Applied(False, 1, 0.1), 0.1, [98.0, 101.0], now=100.0)
        name = "kubeproxy_network_programming_duration_seconds"
        assert sample(metrics.registry, f"{name}_sum", ip_family="IPv4") == 2.0  # a clock that is ahead makes none
        assert sample(metrics.registry, f"{name}_bucket", ip_family="IPv4", le="2.0") == 2

    def test_that_forgot_flows_tells_how_many_and_how_long_it_took(self) -> None:
        metrics = Metrics()
        metrics.synchronised(Applied(False, 1, 0.1), 0.1, (), now=0.0)
        metrics.synchronised(Applied(False, 1, 0.1, "", {Family.IPV6: 3}, 0.004), 0.1, (), now=0.0)
        name = "kubeproxy_conntrack_reconciler"
        assert sample(metrics.registry, f"{name}_sync_duration_seconds_count", ip_family="IPv4") == 1
        assert sample(metrics.registry, f"{name}_deleted_entries_total", ip_family="IPv4") == 0
        assert sample(metrics.registry, f"{name}_deleted_entries_total", ip_family="IPv6") == 3

    def test_that_failed_is_counted(self) -> None:
        metrics = Metrics()
        metrics.failed()
        name = "kubeproxy_sync_proxy_rules_nftables_sync_failures_total"
        assert sample(metrics.registry, name, ip_family="IPv6") == 1


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/healthz", "text/plain", "ok"),
        ("/proxyMode", "text/plain", "nftables"),
        ("/configz", "application/json", '{"kubeproxy.config.k8s.io":{"mode":"nftables"}}'),
    ],
)
def test_operators_find_what_kube_proxy_shows(path: str, kind: str, body: str) -> None:
    async def main() -> None:
        application = metrics_application(CollectorRegistry(), "nftables", lambda: {"mode": "nftables"})
        async with TestClient(TestServer(application)) as client, client.get(path) as answer:
            assert (answer.status, answer.content_type, await answer.text()) == (200, kind, body)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"

    asyncio.run(main())


def test_status_and_flags_are_shown_as_other_components_show_them() -> None:
    async def main() -> None:
        application = metrics_application(CollectorRegistry(), "nftables", dict, flags={"--cluster-cidr": "10.0.0.0/8"})
        async with TestClient(TestServer(application)) as client:
            status = await (await client.get("/statusz")).text()
            flags = await (await client.get("/flagz")).text()
        assert "svcplane statusz" in status
        assert f"Binary version: {VERSION}" in status
        assert "Paths: /configz /flagz /healthz /metrics /metrics/slis /proxyMode /statusz" in status
        assert "cluster-cidr=10.0.0.0/8" in flags.splitlines()

    asyncio.run(main())


def test_service_levels_follow_the_health() -> None:
    health = Health(limit=10, clock=lambda: 0, stopwatch=lambda: 100)

    async def main() -> list[str]:
        application = metrics_application(CollectorRegistry(), "nftables", dict, health=health)
        async with TestClient(TestServer(application)) as client, client.get("/metrics/slis") as answer:
            text = await answer.text()
        return [line for line in text.splitlines() if not line.startswith("#")]

    livez, healthz = 'name="sync-proxy-rules",type="livez"', 'name="sync-proxy-rules",type="healthz"'
    assert asyncio.run(main()) == [f"kubernetes_healthcheck{{{livez}}} 1.0", f"kubernetes_healthcheck{{{healthz}}} 0.0"]
    health.pending_since = 50
    assert f"kubernetes_healthcheck{{{livez}}} 0.0" in asyncio.run(main())


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("*/*", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
def test_metrics_come_in_the_format_that_is_asked_for(accept: str, kind: str) -> None:
    async def main() -> None:
        application = metrics_application(Metrics().registry, "nftables", dict)
        async with TestClient(TestServer(application)) as client:
            answer = await client.get("/metrics", headers={"Accept": accept})
            assert answer.content_type == kind
            assert "svcplane_build_info" in await answer.text()

    asyncio.run(main())


def test_the_page_about_metrics_is_what_a_running_agent_has() -> None:
    page = Path(__file__).parents[2] / "docs" / "metrics.md"

    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.dataplane.tables) and scene.connected)
        assert page.read_text() == metrics_page(scene.agent.metrics.registry)

    with_agent(act, (NODE, node()), (SERVICE, service()))


# Every metric of kube-proxy v1.36 on Linux, but for those of Go's runtime and of its client library.
OF_KUBE_PROXY = """
conntrack_reconciler_deleted_entries_total conntrack_reconciler_sync_duration_seconds
iptables_ct_state_invalid_dropped_packets_total iptables_localhost_nodeports_accepted_packets_total
network_programming_duration_seconds proxy_healthz_total proxy_livez_total
sync_full_proxy_rules_duration_seconds sync_partial_proxy_rules_duration_seconds sync_proxy_rules_duration_seconds
sync_proxy_rules_endpoint_changes_pending sync_proxy_rules_endpoint_changes_total
sync_proxy_rules_iptables_last sync_proxy_rules_iptables_partial_restore_failures_total
sync_proxy_rules_iptables_restore_failures_total sync_proxy_rules_iptables_total
sync_proxy_rules_last_queued_timestamp_seconds sync_proxy_rules_last_timestamp_seconds
sync_proxy_rules_nftables_cleanup_failures_total sync_proxy_rules_nftables_sync_failures_total
sync_proxy_rules_no_local_endpoints_total sync_proxy_rules_service_changes_pending
sync_proxy_rules_service_changes_total
"""


def test_every_metric_of_kube_proxy_is_there_or_it_is_said_why_not() -> None:
    wanted = {f"kubeproxy_{name}" for name in OF_KUBE_PROXY.split()}
    wanted |= {"kubernetes_build_info", "kubernetes_feature_enabled", "process_resident_memory_bytes"}
    found: set[str] = set()

    async def act(scene: Scene) -> None:
        for registry in (scene.agent.metrics.registry, Metrics("iptables").registry):
            found.update(f.name + "_total" * (f.type == "counter") for f in registry.collect())

    with_agent(act, (NODE, node()))
    assert wanted - found == set(NOT_HERE)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_counts_its_failures(mode: str) -> None:
    Metrics(mode).failed()
