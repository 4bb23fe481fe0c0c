"""Rules as text, and commands to look at them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from dataplane.iptables.chain import Options
from dataplane.iptables.restore import Restore
from dataplane.iptables.ruleset import Ruleset
from dataplane.iptables.skeleton import guests
from dataplane.table import Family, ForwardingTable


@pytest.fixture(scope="session")
def written() -> Callable[..., str]:
    """What is written for a table that is applied to an empty namespace."""

    def write(table: ForwardingTable, family: Family, options: Options | None = None) -> str:
        ruleset = Ruleset.of(table, family, options or Options())
        return Restore(ruleset.chains, guests=guests(ruleset.setting)).text()

    return write


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
