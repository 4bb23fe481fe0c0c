"""What every test may count on."""

from __future__ import annotations

import os
import shutil

import pytest


def _kernel_missing() -> str | None:
    """Why tests of the real kernel cannot run here, in words; None if they can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("ip", "nft"):
        if shutil.which(program) is None:
            return f"needs the program {program}"
    try:
        pid = os.fork()
        if pid == 0:
            try:
                os.unshare(os.CLONE_NEWNET) if hasattr(os, "unshare") else None
            except OSError:
                os._exit(1)
            os._exit(0)
        if os.waitpid(pid, 0)[1] != 0:
            return "needs network namespaces (CLONE_NEWNET is refused)"
    except OSError as error:
        return f"needs network namespaces ({error})"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("kernel")]
    reason = _kernel_missing() if marked else None
    if reason:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"kernel: {reason}"))
