"""Health: as kube-proxy tells it, by clocks that the tests hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from controller.health import Health
from controller.health_server import HealthServer
from controller.objects import Metadata, Node, NodeSpec, Taint

NODE = Node(Metadata(name="n1"))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def synced(node: Node | None = NODE) -> tuple[Health, Clock]:
    clock = Clock()
    health = Health(limit=60, clock=clock, stopwatch=clock, node=node)
    health.requested()
    health.succeeded()
    return health, clock


def ask(health: Health, *paths: str) -> list[tuple[int, dict[str, Any]]]:
    async def main() -> list[tuple[int, dict[str, Any]]]:
        found = []
        async with TestClient(TestServer(HealthServer(health).application)) as client:
            for path in paths:
                async with client.get(path) as answer:
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    found.append((answer.status, await answer.json()))
        return found

    return asyncio.run(main())


def statuses(health: Health) -> list[int]:
    return [status for status, _ in ask(health, "/healthz", "/livez")]


def test_it_is_well_after_a_sync_however_long_ago() -> None:
    health, clock = synced()
    assert statuses(health) == [200, 200]
    clock.now += 10**6
    assert statuses(health) == [200, 200]


def test_before_the_first_sync_it_lives_and_gets_no_traffic() -> None:
    assert statuses(Health(node=NODE)) == [503, 200]


def test_what_waits_too_long_is_a_fault_until_it_is_done() -> None:
    health, clock = synced()
    health.requested()
    clock.now += 59
    assert statuses(health) == [200, 200]
    clock.now += 1
    assert statuses(health) == [503, 503]
    health.requested()
    assert statuses(health) == [503, 503]
    health.succeeded()
    assert statuses(health) == [200, 200]


def test_a_clock_that_is_set_is_no_fault() -> None:
    health, _ = synced()
    health.requested()
    health.clock = lambda: 10.0**9
    assert health.healthy


@pytest.mark.parametrize(
    ("node", "eligible"),
    [
        (None, False),
        (NODE, True),
        (Node(Metadata(name="n1", deletion_timestamp="2026-01-01T00:00:00Z")), False),
        (Node(Metadata(name="n1"), NodeSpec(taints=(Taint("ToBeDeletedByClusterAutoscaler", "NoSchedule"),))), False),
        (Node(Metadata(name="n1"), NodeSpec(taints=(Taint("node.kubernetes.io/unschedulable", "NoSchedule"),))), True),
    ],
    ids=["unknown", "plain", "deleted", "scaled down", "cordoned"],
)
def test_a_node_that_leaves_is_no_target_and_need_not_be_restarted(node: Node | None, eligible: bool) -> None:
    health, _ = synced(node)
    (healthz, body), (livez, lively) = ask(health, "/healthz", "/livez")
    assert (healthz, body["nodeEligible"], livez) == (200 if eligible else 503, eligible, 200)
    assert "nodeEligible" not in lively


def test_the_body_has_the_state_of_each_family() -> None:
    health, clock = synced()
    clock.now += 100
    health.requested()
    clock.now += 100
    [(_, body)] = ask(health, "/healthz")
    of_family = {"lastUpdated": "1970-01-01T00:16:40Z", "healthy": False}
    assert body == {
        "lastUpdated": "1970-01-01T00:16:40Z",
        "currentTime": "1970-01-01T00:20:00Z",
        "nodeEligible": True,
        "healthy": False,
        "status": {"IPv4": of_family, "IPv6": of_family},
    }


def test_answers_are_counted_by_path_and_code() -> None:
    health, _ = synced(None)

    async def main() -> None:
        server = HealthServer(health)
        async with TestClient(TestServer(server.application)) as client:
            for path in ("/healthz", "/healthz", "/livez"):
                await client.get(path)
        assert server.answers == {("healthz", 503): 2, ("livez", 200): 1}

    asyncio.run(main())
