"""Real packets through a mode's kernel rules go where kube-proxy sent them."""

from __future__ import annotations

import pytest

from conformance.cases import Case, recorded_cases
from conformance.more_cases import more_cases
from conformance.packet_run import MODES, Mode, PacketRun
from lab.network.network import Network

CASES = (*recorded_cases(), *more_cases())

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_packets_go_where_kube_proxy_sent_them(mode: Mode, case: Case, machines: Network) -> None:
    assert PacketRun(case, mode, machines).run() == []
