import asyncio
import logging

import pytest

from lab.api.errors import bad_request
from lab.api.registry import ENDPOINT_SLICES, SERVICES
from lab.api.store import Store
from lab.controllers import run_controllers
from lab.controllers.objects import key_of
from lab.controllers.runner import Runner


class Recording:
    """A controller of Services that notes what it is asked, and fails as often as it is told."""

    name = "recording"

    def __init__(self, failures=()):
        self.seen = []
        self.failures = list(failures)

    def concerned(self, change):
        return [key_of(change.object)] if change.resource is SERVICES else []

    def reconcile(self, key):
        self.seen.append(key.name)
        if self.failures:
            raise self.failures.pop(0)
        return


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


def runner_with(store, clock, *controllers):
    return Runner(store, lambda _store, _view: controllers, clock)


def service(make, name):
    found = make.service(name)
    return {"metadata": {"name": name}, "spec": {"ports": found["spec"]["ports"]}}


def test_what_exists_at_the_start_is_looked_at(make, clock):
    store, controller = Store(seed=1), Recording()
    store.create(SERVICES, service(make, "web"))
    runner_with(store, clock, controller).settle()
    assert "web" in controller.seen


def test_many_changes_of_one_object_are_one_look(make, clock):
    store, controller = Store(seed=1), Recording()
    runner = runner_with(store, clock, controller)
    store.create(SERVICES, service(make, "web"))
    for number in range(5):
        store.patch(SERVICES, "default", "web", {"metadata": {"labels": {"n": str(number)}}})
    runner.settle()
    assert controller.seen.count("web") == 1


@pytest.mark.parametrize("error", [bad_request("no"), ValueError("a mistake")])
def test_who_fails_is_asked_again_later_and_the_others_go_on(make, clock, error):
    store = Store(seed=1)
    failing, fine = Recording([error]), Recording()
    runner = runner_with(store, clock, failing, fine)
    store.create(SERVICES, service(make, "web"))
    runner.settle()
    assert failing.seen.count("web") == fine.seen.count("web") == 1
    clock.now += 60
    runner.settle()
    assert failing.seen.count("web") == 2


def test_a_mistake_is_logged_with_its_place(make, clock, caplog):
    store = Store(seed=1)
    runner = runner_with(store, clock, Recording([ValueError("a mistake")]))
    store.create(SERVICES, service(make, "web"))
    with caplog.at_level(logging.ERROR):
        runner.settle()
    assert "recording: default/web failed" in caplog.text
    assert "a mistake" in caplog.text


def test_controllers_run_beside_others_in_one_loop_until_cancelled(make):
    async def scenario():
        store = Store(seed=1)
        running = asyncio.ensure_future(run_controllers(store))
        store.create(SERVICES, service(make, "web") | {"spec": make.service()["spec"] | {"clusterIP": ""}})
        async for event in store.watch(SERVICES):
            if event.object["metadata"]["name"] == "web":
                break
        async for event in store.watch(ENDPOINT_SLICES):
            if event.object["metadata"].get("generateName") == "web-":
                break
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return True

    assert asyncio.run(scenario())


def test_who_cannot_tell_what_a_change_concerns_does_not_keep_it_from_the_others(make, clock, caplog):
    class Confused(Recording):
        def concerned(self, change):
            raise ValueError("what is this?")

    store, fine = Store(seed=1), Recording()
    store.create(SERVICES, service(make, "web"))
    runner_with(store, clock, Confused(), fine).settle()
    assert "web" in fine.seen
    assert "what is this?" in caplog.text
