"""Tables to program, and whether this kernel can carry them out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from dataplane.ipvs import IpvsDataplane
from dataplane.table import ForwardingTable
from kernel_features import lacks_ipvs


@pytest.fixture
def kernel_with_ipvs() -> None:
    if reason := lacks_ipvs():
        pytest.skip(reason)


@pytest.fixture
def programmed(kernel_with_ipvs: None, in_new_namespace: Callable[..., Any]) -> Callable[..., Any]:
    """Apply tables in a new namespace, one after the other, and return what a function then finds."""

    def run(look: Callable[[IpvsDataplane], Any], *given: ForwardingTable) -> Any:
        def work() -> Any:
            # Without any address IPVS takes every real server for a broadcast address.
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            dataplane = IpvsDataplane()
            try:
                for table in given:
                    dataplane.apply(table)
                return look(dataplane)
            finally:
                dataplane.close()

        return in_new_namespace(work)

    return run
