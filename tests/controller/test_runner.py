"""When synchronisations run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from controller.runner import Pace, Runner
from dataplane.interface import DataplaneError

PACE = Pace(minimum=1, retry_first=2, retry_most=30, maximum=3600)


def test_a_request_waits_only_for_the_minimum() -> None:
    assert PACE.wait(requested=True, failures=0) == 1
    assert PACE.wait(requested=True, failures=5) == 1


def test_without_a_request_the_next_run_is_far_away() -> None:
    assert PACE.wait(requested=False, failures=0) == 3600


@pytest.mark.parametrize(("failures", "seconds"), [(1, 2), (2, 4), (3, 8), (4, 16), (5, 30), (50, 30), (10_000, 30)])
def test_failures_are_retried_more_and_more_slowly_up_to_a_limit(failures: int, seconds: float) -> None:
    assert PACE.wait(requested=False, failures=failures) == seconds


def test_a_retry_is_never_sooner_than_the_minimum() -> None:
    assert Pace(minimum=5, retry_first=1).wait(requested=False, failures=1) == 5


def _run(work: Callable[[], Awaitable[str | None]], act: Callable[[Runner], Awaitable[None]], pace: Pace) -> Runner:
    async def main() -> Runner:
        runner = Runner(work, pace)
        task = asyncio.create_task(runner.run())
        try:
            await asyncio.wait_for(act(runner), 20)
        finally:
            task.cancel()
        return runner

    return asyncio.run(main())


def test_nothing_runs_before_the_first_request() -> None:
    ran: list[int] = []

    async def work() -> None:
        ran.append(1)

    async def act(runner: Runner) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    _run(work, act, Pace(minimum=0, maximum=0))
    assert ran == []


def test_requests_during_a_run_become_one_further_run() -> None:
    runs: list[int] = []
    go_on, again = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            await go_on.wait()
        else:
            again.set()

    async def act(runner: Runner) -> None:
        runner.request()
        while not runs:
            await asyncio.sleep(0)
        for _ in range(5):
            runner.request()
        go_on.set()
        await again.wait()
        for _ in range(50):
            await asyncio.sleep(0.001)

    _run(work, act, Pace(minimum=0, maximum=3600))
    assert runs == [0, 1]


def test_a_failed_run_is_repeated_without_being_asked_and_a_success_ends_that() -> None:
    outcomes = ["fails", "fails", "works"]
    done = asyncio.Event()

    async def work() -> None:
        if outcomes.pop(0) == "fails":
            raise DataplaneError("the kernel said no")
        done.set()

    async def act(runner: Runner) -> None:
        runner.request()
        await done.wait()
        await asyncio.sleep(0.01)
        assert runner.failures == 0

    _run(work, act, Pace(minimum=0, retry_first=0.001, maximum=3600))
    assert outcomes == []


def test_a_run_that_leaves_something_to_do_is_repeated_until_nothing_is_left() -> None:
    left = ["old flows", "old flows", ""]
    done = asyncio.Event()

    async def work() -> str:
        if len(left) == 1:
            done.set()
        return left.pop(0)

    async def act(runner: Runner) -> None:
        runner.request()
        await done.wait()
        await asyncio.sleep(0.01)
        assert runner.failures == 0

    _run(work, act, Pace(minimum=0, retry_first=0.001, maximum=3600))
    assert left == []


def test_a_request_during_a_retry_pause_does_not_wait_for_the_retry() -> None:
    outcomes = ["fails", "works"]
    done = asyncio.Event()

    async def work() -> None:
        if outcomes.pop(0) == "fails":
            raise DataplaneError("the kernel said no")
        done.set()

    async def act(runner: Runner) -> None:
        runner.request()
        while runner.failures == 0:
            await asyncio.sleep(0)
        runner.request()
        await done.wait()

    _run(work, act, Pace(minimum=0, retry_first=3600, retry_most=3600, maximum=3600))
    assert outcomes == []


@pytest.mark.parametrize("left", ["old flows", None], ids=["leave something", "fail"])
def test_runs_over_a_stream_of_changes_do_not_make_the_last_one_wait_longer(left: str | None) -> None:
    runs: list[int] = []

    async def work() -> str | None:
        runs.append(len(runs))
        if left is None:
            raise DataplaneError("the kernel said no")
        return left

    async def act(runner: Runner) -> None:
        for number in range(1, 20):
            runner.request()
            while len(runs) < number:
                await asyncio.sleep(0)
        assert runner.failures == 1

    _run(work, act, Pace(minimum=0, retry_first=3600, retry_most=7200, maximum=7200))
    assert len(runs) == 19


@pytest.mark.parametrize("turns", range(4))
def test_it_ends_when_it_is_cancelled_also_together_with_a_request(turns: int) -> None:
    async def main() -> None:
        ran = asyncio.Event()

        async def work() -> None:
            ran.set()

        runner = Runner(work, Pace(minimum=0.0))
        task = asyncio.create_task(runner.run())
        runner.request()
        await ran.wait()
        await asyncio.sleep(0.01)
        runner.request()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled()

    asyncio.run(main())
