"""A full connection table is told of once, and so is its end; the kernel's part is in tests/dataplane."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import controller.fullness
from controller.connection_table import ConnectionTable
from controller.fullness import QUIET, Fullness
from controller.metrics_packets import PacketMetrics
from dataplane.conntrack_room import Room
from lab.api import registry
from patience import PATIENCE
from whole_agent import NODE, SERVICE, SLICE, FakePackets, FakeRoom, Scene, endpoints, node, service, with_agent


def judged(*looks: tuple[int, int, float], limit: int = 1000) -> Sequence[bool]:
    """Whether the table counts as full after each look: entries, packets dropped so far, time."""
    fullness = Fullness()
    found = []
    for entries, dropped, now in looks:
        before = fullness.full
        assert fullness.note(Room(entries, limit, dropped), now) == (fullness.full != before)
        found.append(fullness.full)
    return found


class TestATable:
    def test_with_room_is_not_full(self) -> None:
        assert judged((0, 0, 0), (500, 0, 1), (999, 0, 2)) == [False, False, False]

    def test_is_full_when_it_holds_as_many_as_it_may(self) -> None:
        assert judged((999, 0, 0), (1000, 0, 1)) == [False, True]

    def test_is_full_when_it_drops_though_a_few_entries_have_just_gone(self) -> None:
        assert judged((980, 5, 0), (980, 6, 1)) == [False, True]

    def test_that_drops_for_other_reasons_is_not_full(self) -> None:
        assert judged((10, 0, 0), (10, 50, 1)) == [False, False]

    def test_that_dropped_before_anybody_looked_is_not_full(self) -> None:
        assert judged((980, 77, 0)) == [False]

    def test_at_its_limit_stays_full_while_entries_come_and_go(self) -> None:
        assert judged((1000, 0, 0), (990, 0, 1), (1000, 0, 5), (990, 0, 5 + QUIET - 1)) == [True] * 4

    def test_has_room_again_when_nothing_was_refused_for_a_while(self) -> None:
        assert judged((1000, 0, 0), (990, 0, QUIET)) == [True, False]

    def test_without_a_limit_is_never_full(self) -> None:
        assert judged((10**6, 0, 0), (10**6, 1, 1), limit=0) == [False, False]


def events(scene: Scene) -> list[dict[str, Any]]:
    found = scene.store.list(registry.CORE_EVENTS)[0]
    return [e for e in found if e["reason"].startswith("ConnectionTable")]


def test_the_node_hears_once_that_the_table_is_full_and_once_that_it_has_room(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(controller.fullness, "INTERVAL", 0.001)
    monkeypatch.setattr(controller.fullness, "QUIET", 0.05)

    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.dataplane.tables))
        assert scene.metric("svcplane_connection_table_entries") == 10
        assert scene.metric("svcplane_connection_table_limit") == 1000
        for dropped in range(1, 20):
            scene.room.room = Room(1000, 1000, dropped)
            await scene.until(lambda: len(events(scene)) == 1)
        assert scene.metric("svcplane_connection_table_dropped_packets_total") == 19
        scene.room.room = Room(10, 1000, 19)
        await scene.until(lambda: len(events(scene)) == 2)
        told = {
            e["reason"]: (e["type"], e["involvedObject"]["kind"], e["involvedObject"]["name"]) for e in events(scene)
        }
        assert told == {
            "ConnectionTableFull": ("Warning", "Node", "n1"),
            "ConnectionTableHasRoom": ("Normal", "Node", "n1"),
        }
        assert not any("series" in e for e in events(scene))

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))
    lines = [r.message for r in caplog.records if "connection table is full" in r.message]
    assert len(lines) == 1
    assert "(1000 of 1000 entries)" in lines[0]


def test_the_node_hears_of_the_engines_flow_table_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller.fullness, "INTERVAL", 0.001)
    monkeypatch.setattr(controller.fullness, "QUIET", 0.05)
    packets, told = FakePackets(), list[tuple[str, str]]()

    async def fill_and_empty() -> None:
        metrics = PacketMetrics(packets, lambda severity, reason, *_: told.append((severity, reason)))
        task = asyncio.create_task(metrics.run())
        async with asyncio.timeout(PATIENCE):
            for flows, heard in ((999, 0), (1000, 1), (10, 2)):
                packets.flows = flows
                while len(told) < heard:
                    await asyncio.sleep(0.002)
        task.cancel()

    asyncio.run(fill_and_empty())
    assert told == [("Warning", "FlowTableFull"), ("Normal", "FlowTableHasRoom")]


def test_a_table_that_cannot_be_looked_at_has_no_metrics_and_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Hidden(FakeRoom):
        def look(self) -> Room:
            raise OSError("too many open files")

    collector = CollectorRegistry()
    collector.register(ConnectionTable(Hidden(), lambda *_: None))
    assert list(collector.collect()) == []
    assert [r.message for r in caplog.records] == [
        "the fill of the connection table can't be read: too many open files"
    ]
