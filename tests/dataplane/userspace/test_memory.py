"""Folders of namespaces that are gone do not stay for ever; those that somebody may come back for do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dataplane.userspace.memory import ABANDONED, Memory, remove_abandoned


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
