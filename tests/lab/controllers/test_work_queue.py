import asyncio

import pytest

from lab.controllers.work_queue import LONGEST_DELAY, WorkQueue


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    return WorkQueue(clock)


def everything(queue):
    taken = []
    while queue.has_work():
        taken.append(queue.take())
    return taken


def test_an_item_that_waits_already_is_not_added_again(queue):
    for item in ("a", "b", "a"):
        queue.add(item)
    assert everything(queue) == ["a", "b"]


def test_an_item_that_was_taken_can_be_added_again(queue):
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    assert everything(queue) == ["a"]


def test_what_is_for_later_comes_when_its_time_has_come(queue, clock):
    queue.add_after("late", 10)
    queue.add_after("early", 5)
    assert everything(queue) == []
    clock.now = 5
    assert everything(queue) == ["early"]
    clock.now = 10
    assert everything(queue) == ["late"]


def test_of_two_times_for_one_item_the_earlier_one_counts(queue, clock):
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 7)
    clock.now = 3
    assert everything(queue) == ["a"]
    clock.now = 100
    assert everything(queue) == []


def test_the_delay_doubles_with_each_failure_in_a_row_up_to_a_limit(queue):
    delays = [queue.retry("a") for _ in range(30)]
    assert delays[1] == 2 * delays[0]
    assert delays[-1] == LONGEST_DELAY
    queue.succeeded("a")
    assert queue.retry("a") == delays[0]


def test_who_waits_for_an_item_gets_it_when_it_is_added():
    async def scenario():
        queue = WorkQueue()
        waiting = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.add("a")
        return await waiting

    assert asyncio.run(scenario()) == "a"


def test_who_waits_for_an_item_gets_one_that_becomes_due():
    async def scenario():
        queue = WorkQueue()
        waiting = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        queue.add_after("a", 0.001)
        return await waiting

    assert asyncio.run(scenario()) == "a"
