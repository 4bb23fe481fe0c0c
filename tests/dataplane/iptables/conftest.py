"""Rules as text, and namespaces to try them in."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dataplane.iptables.chain import Options
from dataplane.iptables.restore import Restore
from dataplane.iptables.ruleset import Ruleset
from dataplane.iptables.skeleton import guests
from dataplane.table import Family, ForwardingTable
from lab.network.syscalls import unshare_network


@pytest.fixture(scope="session")
def written() -> Callable[..., str]:
    """What is written for a table that is applied to an empty namespace."""

    def write(table: ForwardingTable, family: Family, options: Options | None = None) -> str:
        ruleset = Ruleset.of(table, family, options or Options())
        return Restore(ruleset.chains, guests=guests(ruleset.setting)).text()

    return write


@pytest.fixture(scope="session")
def in_new_namespace() -> Callable[[Callable[[], Any]], Any]:
    """Call a function in a thread with a network namespace of its own, which ends with it."""

    def call(work: Callable[[], Any]) -> Any:
        outcome: list[Any] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                unshare_network()
                outcome.append(work())
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]

    return call


@pytest.fixture(scope="session")
def run() -> Callable[[str], str]:
    """Run a command in the namespace of the calling thread, and return what it prints."""

    def call(command: str, given: str = "") -> str:
        done = subprocess.run(command.split(), input=given, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    return call


@pytest.fixture(params=["legacy", "nft"])
def variant(request: pytest.FixtureRequest) -> str:
    """Once for each iptables."""
    return str(request.param)
