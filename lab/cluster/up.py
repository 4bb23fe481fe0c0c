"""Start a lab in the background, and wait until it is ready."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

import lab
from dataplane.errors import InputError
from lab.cluster.down import remove_leftovers
from lab.cluster.options import LabOptions
from lab.cluster.report import Report
from lab.cluster.state import ROOT, LabState, StateDirectory

_END_SECONDS = 15.0


class LabError(Exception):
    """The lab could not be started, or broke. The message is one line; nothing of the lab is left."""


def up(options: LabOptions, *, step: Callable[[str], None] = lambda _: None, root: Path = ROOT) -> LabState:
    """Start the lab. Returns when its agents carry out Services; `step` hears what it is doing meanwhile.

    What a crashed lab of this name left is removed first. Raises InputError if one runs, LabError if it does not start.
    """
    require_root()
    state = StateDirectory(options.name, root)
    lock = state.create()
    if lock is None:
        raise InputError(f"lab {options.name!r} is up already: 'svcplane lab down --name {options.name}' ends it")
    try:
        step("removing what an earlier run may have left")
        remove_leftovers(state)
        state.write(LabState(0, options))
        with _supervisor(state, lock) as (process, reports):
            for line in reports:
                report = msgspec.json.decode(line, type=Report)
                if report.error:
                    raise LabError(report.error)
                if report.ready:
                    break
                step(report.step)
            else:
                process.wait()
                raise LabError(f"the lab's supervisor has ended with code {process.returncode}")
        found = state.read()
        assert found is not None  # it has said that it is ready
        return found
    except BaseException:
        remove_leftovers(state)
        state.delete()
        raise
    finally:
        os.close(lock)


def require_root() -> None:
    if os.geteuid() != 0:
        raise InputError("the lab needs root, to make network namespaces: try 'sudo svcplane lab ...'")


@contextlib.contextmanager
def _supervisor(state: StateDirectory, lock: int) -> Iterator[tuple[subprocess.Popen[bytes], Iterator[bytes]]]:
    """A supervisor process and its reports. It is ended if the body raises."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    # The supervisor, and what it starts, find this code wherever they run.
    search_path = os.pathsep.join(filter(None, (str(Path(lab.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    with open(state.supervisor_log, "ab") as log, open(reading, "rb") as reports:
        try:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "lab.cluster.supervisor"),
                    *(state.lab, str(state.path.parent), str(lock), str(writing)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=os.environ | {"PYTHONPATH": search_path},
                pass_fds=(lock, writing),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        try:
            yield process, iter(reports.readline, b"")
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
