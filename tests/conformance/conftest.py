"""The network that all cases share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from conformance.packet_run import Mode, network
from lab.network.namespace import Namespace
from lab.network.network import Network

_LAB = "conformance-{}"  #: with the process id of the test run that it belongs to


def _remove_leftovers() -> None:
    """Networks of test runs that were killed."""
    for lab in Namespace.labs():
        run = re.fullmatch(_LAB.format(r"(\d+)"), lab)
        if run and not os.path.exists(f"/proc/{run[1]}"):
            for machine in Namespace.of_lab(lab):
                machine.delete()


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """The network is the same for every case, so it is made once."""
    _remove_leftovers()
    with network(_LAB.format(os.getpid()), tmp_path_factory.mktemp("pods")) as made:
        yield made


@pytest.fixture(autouse=True)
def _modes_that_this_kernel_has(request: pytest.FixtureRequest) -> None:
    """Tests of a mode that this kernel cannot carry out are skipped."""
    given = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    for mode in given:
        if isinstance(mode, Mode) and (reason := mode.lacks()):
            pytest.skip(reason)
