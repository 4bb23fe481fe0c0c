"""The executable specification decides every case as kube-proxy did."""

from __future__ import annotations

import msgspec
import pytest

from conformance.cases import Case, Expectation, Probe, recorded_cases
from conformance.more_cases import more_cases
from conformance.reference_run import MODE, ReferenceRun

CASES = (*recorded_cases(), *more_cases())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_reference_decides_as_kube_proxy_did(case: Case) -> None:
    assert ReferenceRun(case).run() == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_expectation_is_noticed_at_every_probe(case: Case) -> None:
    """Every case in which each probe expects one thing that does not happen must fail at each probe."""
    wrong = [msgspec.structs.replace(step, probes=tuple(map(_spoiled, step.probes))) for step in case.steps]
    failures = ReferenceRun(msgspec.structs.replace(case, steps=tuple(wrong))).run()
    for number, step in enumerate(case.steps):
        for probe in step.probes:
            if not probe.ping:
                assert any(failure.startswith(f"step {number}, {probe}: ") for failure in failures)


def _spoiled(probe: Probe) -> Probe:
    expected = probe.expectation(MODE)
    if expected.http is not None:
        wrong = Expectation(http="404")
    elif expected.pod is not None:
        wrong = Expectation(pod="c2", peer=expected.peer)
    elif expected.one:
        wrong = Expectation(many=True)
    elif expected.many:
        wrong = Expectation(one=1)
    else:
        wrong = msgspec.structs.replace(expected, pods=(expected.pods or frozenset()) | {"c2"})
    return msgspec.structs.replace(probe, expect={"any": wrong})


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
