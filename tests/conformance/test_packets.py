"""Real packets through a mode's kernel rules go where kube-proxy sent them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conformance.cases import Case
from conformance.differences import ALL, DIFFERENCES, page, why
from conformance.packet_run import MODES, Mode, PacketRun
from lab.network.network import Network

PAGE = Path(__file__).parents[2] / "docs" / "what-passes-where.md"


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("mode", "case"),
    [
        pytest.param(mode, case, id=f"{mode.name}-{case.name}")
        for mode in MODES
        for number, case in enumerate(ALL)
        if number % mode.each == 0 or "SVCPLANE_ALL_CASES" in os.environ
    ],
)
def test_packets_go_where_kube_proxy_sent_them(
    mode: Mode, case: Case, machines: Network, request: pytest.FixtureRequest
) -> None:
    if reason := why(mode, case):
        request.applymarker(pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True))
    assert PacketRun(case, mode, machines).run() == []


def test_the_page_of_what_passes_where_is_up_to_date() -> None:
    assert PAGE.read_text() == page()


def test_differences_are_of_modes_and_cases_that_there_are() -> None:
    assert DIFFERENCES.keys() <= {mode.name for mode in MODES}
    assert {case for cases in DIFFERENCES.values() for case in cases} <= {case.name for case in ALL}
