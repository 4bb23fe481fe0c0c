"""End a lab and remove everything of it, also what a crashed one left; and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from lab.cluster.state import ROOT, StateDirectory
from lab.network.namespace import Namespace

_PATIENCE = 15.0  #: seconds that a supervisor gets to end by itself
_POLL = 0.02


def down(lab: str, *, root: Path = ROOT) -> bool:
    """End a lab. Returns False if there was nothing of this name, neither running nor left behind."""
    state = StateDirectory(lab, root)
    if not state.exists:
        return False
    lock = _take_over(state)
    try:
        remove_leftovers(state)
        state.delete()
    finally:
        os.close(lock)
    return True


def _take_over(state: StateDirectory) -> int:
    """The lab's lock: the supervisor, if there is one, is asked to end, and made to if it does not."""
    number: signal.Signals = signal.SIGTERM
    deadline = time.monotonic() + _PATIENCE
    asked = False
    while (lock := state.create()) is None:
        known = state.read()
        # It has not written its process id in its first moments.
        if known is not None and known.supervisor and not asked:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself; the lock follows
                os.kill(known.supervisor, number)
            asked = True
        if time.monotonic() > deadline:
            number, asked, deadline = signal.SIGKILL, False, time.monotonic() + _PATIENCE
        time.sleep(_POLL)
    return lock


def remove_leftovers(state: StateDirectory) -> None:
    """Remove the machines of a lab whose supervisor is gone: the folder says that the lab's name was ours."""
    for machine in Namespace.of_lab(state.lab):
        machine.delete()
