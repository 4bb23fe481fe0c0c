"""Which real servers go, and when, without a kernel: who has flows is said by the test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from dataplane.ipvs.kernel import BRAND, Destination, Ipvs, Request, ServerKey, Service
from dataplane.ipvs.programmed import Programmed
from dataplane.ipvs.servers import Server
from dataplane.table import Endpoint, Family

KEY = ServerKey(Family.IPV4, 0x5E000010)
SERVICE = Service("rr", BRAND, 0)
BACKEND = Endpoint("10.244.1.21", 53)
SERVER = Server(SERVICE, {BACKEND: 1}, serving=frozenset({BACKEND}))
REMOVED = f"delete real server {BACKEND} of {KEY}"


class KernelWithOneFlow:
    """Has one virtual server, whose backend has a flow; remembers in words what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def services(self) -> dict[ServerKey, Service]:
        return {KEY: SERVICE}

    def destinations(self, key: ServerKey) -> dict[Endpoint, Destination]:
        return {BACKEND: Destination(1, 1)}

    def carry_out(self, requests: Sequence[Request]) -> None:
        self.told += [words for _, _, words in requests]


@pytest.fixture
def kernel() -> KernelWithOneFlow:
    return KernelWithOneFlow()


@pytest.fixture
def programmed(kernel: KernelWithOneFlow) -> Programmed:
    made = Programmed(cast(Ipvs, kernel))
    made.prepare({KEY: SERVER})
    made.finish({KEY: SERVER})
    assert REMOVED not in kernel.told
    return made


def test_flows_that_never_end_go_with_their_service(kernel: KernelWithOneFlow, programmed: Programmed) -> None:
    programmed.finish({KEY: None})
    assert REMOVED in kernel.told


def test_they_go_also_if_all_was_read_again(kernel: KernelWithOneFlow, programmed: Programmed) -> None:
    assert programmed.read() == {KEY: None}
    programmed.finish({KEY: None})
    assert REMOVED in kernel.told


def test_they_stay_when_somebody_else_serves_them(kernel: KernelWithOneFlow, programmed: Programmed) -> None:
    programmed.keep_flows()
    programmed.finish({KEY: None})
    assert REMOVED not in kernel.told
    assert not programmed.is_empty
