"""What every test may count on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from lab.network import namespace

# A slow machine is no reason to fail. The same examples each time: whoever changes nothing sees nothing change, and who
# looks for what nobody has thought of takes others (`make explore`).
settings.register_profile(
    "svcplane", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("svcplane"), derandomize=False, print_blob=True)
settings.load_profile("svcplane")


def _kernel_missing() -> str | None:
    """Why tests of the real kernel cannot run here, in words; None if they can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("ip", "nft", "iptables-nft", "iptables-legacy"):
        if shutil.which(program) is None:
            return f"needs the program {program}"
    if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode != 0:
        return "needs namespaces (unshare --net --mount is refused)"
    if subprocess.run(["unshare", "--net", "nft", "list", "ruleset"], capture_output=True).returncode != 0:
        return "needs a kernel with nf_tables"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)  # so that nobody waits for them in the end
    marked = [item for item in items if item.get_closest_marker("kernel")]
    reason = _kernel_missing() if marked else None
    if reason:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"kernel: {reason}"))


@pytest.fixture(scope="session", autouse=True)
def _a_lock_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever runs iptables-legacy here meets nobody else's lock: one file serves all namespaces of a machine, though
    those of other test runs do not matter, and a program that is not told to wait fails.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XTABLES_LOCKFILE", str(tmp_path_factory.mktemp("iptables") / "lock"))
        yield


@pytest.fixture(scope="session")
def in_new_namespace() -> Callable[[Callable[[], Any]], Any]:
    """Call a function in a thread with a network namespace of its own, which ends with its sockets."""
    return namespace.in_new_namespace
