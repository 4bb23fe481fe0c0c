"""A run comes to its end in time, and what was measured is saved, whatever a question does."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bench.harness.arena import Plan
from bench.harness.contenders import CEILING, Contender
from bench.harness.fixtures import Arenas
from bench.harness.results import Results
from bench.harness.world import Here, World
from bench.namespace import MeasurementFailedError, TooSlowError, measure

pytest_plugins = "pytester"

CONFTEST = """
from pathlib import Path
import pytest
from bench.figure import Figure
from bench.harness.arena import Plan
from bench.harness.record import Session

Session.GRACE = 0.5

def pytest_configure(config):
    config.pluginmanager.register(Session(Plan(), Path("run.json"), minutes=10), Session.NAME)

@pytest.fixture
def session(request):
    return request.config.pluginmanager.get_plugin(Session.NAME)
"""

QUESTIONS = """
import time
from bench.figure import Figure
from bench.harness.deadline import Deadline

def test_short(session):
    session.record.sheet("How long?").append(Figure("svcplane nftables", 10, "short", 1.0, "s"))

def test_wrong(session):
    session.deadline = Deadline.after(5)
    raise RuntimeError("no answer")

def test_long():
    time.sleep(600)

def test_never():
    raise AssertionError("it was asked")
"""


def test_who_hangs_is_given_up_and_the_rest_is_told_as_not_asked(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(QUESTIONS)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1, failed=2, skipped=1)
    results = Results.load(pytester.path / "run.json")
    assert [(m.contender, m.metric.name, m.value) for m in results.measured] == [("svcplane nftables", "short", 1.0)]
    assert results.unanswered["test_wrong"] == "BROKEN: RuntimeError: no answer"
    assert "Timeout" in results.unanswered["test_long"]
    assert results.unanswered["test_never"].startswith("NO TIME")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "made_up.py").write_text("import sys, time; time.sleep(float(sys.argv[1])); print('{}')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "made_up"


@pytest.mark.kernel
def test_a_measurement_that_takes_too_long_is_ended(module: str) -> None:
    assert measure(module, 0, limit=30) == {}
    with pytest.raises(TooSlowError, match="not done after 1 s"):
        measure(module, 100, limit=1)


@pytest.mark.kernel
def test_a_measurement_that_fails_says_so(module: str) -> None:
    with pytest.raises(MeasurementFailedError, match="could not convert string to float"):
        measure(module, "soon")


class NoSite(Here):
    """Where no world can be made."""

    def __init__(self) -> None:
        self.asked = 0

    def world(self, lab: str) -> AbstractContextManager[World]:
        self.asked += 1
        raise OSError("no space left")


def test_contenders_that_could_not_be_started_are_not_started_again_for_each_question() -> None:
    site = NoSite()
    arenas = Arenas([Contender(CEILING)], Plan(), site, [10])
    with pytest.raises(OSError, match="no space left"):
        arenas.of(10)
    with pytest.raises(pytest.fail.Exception, match="could not be started, see above: no space left"):
        arenas.of(10)
    assert site.asked == 1
