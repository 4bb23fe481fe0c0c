"""The C engine decides every case as kube-proxy did."""

from __future__ import annotations

import pytest

from conformance.cases import Case, recorded_cases
from conformance.engine_run import EngineRun
from conformance.more_cases import more_cases


@pytest.mark.parametrize("case", [*recorded_cases(), *more_cases()], ids=lambda case: case.name)
def test_the_engine_decides_as_kube_proxy_did(case: Case) -> None:
    assert EngineRun(case).run() == []
