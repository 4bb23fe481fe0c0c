"""The network that all cases share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from conformance.packet_run import network
from lab.network.network import Network


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """The network is the same for every case, so it is made once."""
    with (
        pytest.MonkeyPatch.context() as patch,
        network(f"conformance-{os.getpid()}", tmp_path_factory.mktemp("pods")) as made,
    ):
        # All iptables programs of a machine wait for one lock, although those in other namespaces do not matter here.
        patch.setenv("XTABLES_LOCKFILE", str(tmp_path_factory.mktemp("iptables") / "lock"))
        yield made
