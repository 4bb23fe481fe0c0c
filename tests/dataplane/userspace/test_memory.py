"""What is kept of flows: how long, whose, and what happens where there is no room for it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.interface import DataplaneError
from dataplane.table import Affinity, Backend, Forward, ForwardingTable, Frontend, FrontendKey, Pool, Protocol
from dataplane.userspace.engine import Engine
from dataplane.userspace.memory import ABANDONED, Memory, remove_abandoned
from small_node import HOST, LIMITS, Node


def left(run: Path, name: str, ago: float) -> Path:
    """What an agent has left that was alive so many seconds ago."""
    folder = run / name
    (folder / "current").mkdir(parents=True)
    (folder / "current" / "flows").write_bytes(b"flows")
    _date(folder, ago)
    return folder


def _date(folder: Path, ago: float) -> None:
    then = time.time() - ago
    os.utime(folder, (then, then))


@pytest.mark.parametrize(("ago", "stays"), [(60, True), (ABANDONED - 60, True), (ABANDONED + 60, False)])
def test_what_nobody_has_held_for_a_day_goes(tmp_path: Path, ago: float, stays: bool) -> None:
    folder = left(tmp_path, "4711", ago)
    remove_abandoned(tmp_path)
    assert folder.exists() == stays


def test_what_is_held_stays_however_old_it_looks_and_goes_once_it_is_let_go(tmp_path: Path) -> None:
    folder = left(tmp_path, "4711", 0)
    memory = Memory(folder)
    _date(folder, 10 * ABANDONED)
    remove_abandoned(tmp_path)
    assert (folder / "current" / "flows").exists()
    memory.close()
    remove_abandoned(tmp_path)
    assert not folder.exists()


def test_what_is_no_namespace_s_is_left_alone(tmp_path: Path) -> None:
    folder = left(tmp_path, "notes", 10 * ABANDONED)
    remove_abandoned(tmp_path)
    remove_abandoned(tmp_path / "missing")
    assert folder.exists()


@pytest.fixture
def kept(tmp_path: Path, table: ForwardingTable) -> Iterator[Engine]:
    """An engine that keeps its flows in a folder."""
    with Engine(HOST, limits=LIMITS, seed=7, memory=Memory(tmp_path / "kept")) as engine:
        engine.recover()
        engine.interface("eth0")
        engine.apply(table)
        yield engine


def sticky(table: ForwardingTable, port: int) -> ForwardingTable:
    """The table and a Service with affinity at this port."""
    pool = Pool((Backend("10.244.7.1", 8080, False), Backend("10.244.7.2", 8080, False)), Affinity("default/shop:", 60))
    key, forward = FrontendKey("10.96.0.10", Protocol.TCP, port), Forward(pool, False)
    return replace(table, frontends={**table.frontends, key: Frontend(key, "default/shop:", forward, forward, forward)})


def test_services_change_although_nothing_more_can_be_written(
    kept: Engine, tmp_path: Path, table: ForwardingTable, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "kept" / "current"
    kept.apply(sticky(table, 90))
    assert (folder / "names").exists()
    (folder / "names.new").symlink_to(tmp_path / "missing" / "file")  # root can write anywhere but there
    kept.apply(sticky(table, 91))
    assert Node(kept).send("10.244.1.10", 40000, "10.96.0.10", 91).backend is not None
    assert not (folder / "names").exists(), "old meanings of new numbers would be wrong"
    assert "clients will be given backends anew" in caplog.text
    kept.apply(sticky(table, 92))
    assert (folder / "names").exists(), "as soon as there is room"


def test_what_was_refused_half_way_does_not_come_with_the_next_change(
    kept: Engine, table: ForwardingTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DataplaneError("no room")

    with monkeypatch.context() as broken:
        broken.setattr(Memory, "note", fail)
        with pytest.raises(DataplaneError):
            kept.apply(sticky(table, 91))
    assert kept.table is table
    kept.apply(sticky(table, 92))
    node = Node(kept)
    assert node.send("10.244.1.10", 40000, "10.96.0.10", 91).backend is None
    assert node.send("10.244.1.10", 40001, "10.96.0.10", 92).backend is not None
