"""What can go wrong around an agent: it keeps the last good state, says so, and is well again by itself."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import controller.agent
from dataplane.fake import FakeDataplane
from dataplane.interface import DataplaneError
from dataplane.table import DetectLocal
from fault import fault
from lab.api import registry
from lab.api.store import Store
from whole_agent import NODE, SERVICE, SLICE, WEB, Scene, endpoints, node, service, with_agent

OBJECTS = ((NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))
OLD, NEW = {"10.244.1.5"}, {"10.244.1.9"}


async def settled(scene: Scene) -> None:
    """The first sync is done and every watch is open."""
    await scene.until(lambda: scene.backends() == OLD and scene.connected)


async def still_serves(scene: Scene) -> None:
    assert scene.backends() == OLD
    assert scene.agent.health.healthy


def move(scene: Scene) -> None:
    scene.store.update(SLICE, endpoints("10.244.1.9"))


async def follows_again(scene: Scene) -> None:
    await scene.until(lambda: scene.backends() == NEW and scene.connected)
    assert scene.agent.health.healthy


class TestTheApiServer:
    @fault(
        "the API server is away",
        place=10,
        seen="Services as they were; `svcplane_reflector_connected` 0; `/healthz` 200",
        well="the next try: 0.8 s at first, at most 5 s, spread at random (30 s while it answers with errors)",
        kube_proxy="the same, with client-go's waits",
    )
    def test_may_be_away_and_what_happened_meanwhile_is_made_up_for(self) -> None:
        async def act(scene: Scene) -> None:
            await settled(scene)
            await scene.stop_api_server()
            await scene.until(lambda: not scene.connected)
            await still_serves(scene)
            assert scene.metric("svcplane_reflector_connected", resource="services") == 0
            move(scene)
            await scene.start_api_server()
            await follows_again(scene)

        with_agent(act, *OBJECTS)

    @fault(
        "it is away when the agent starts",
        place=20,
        seen="what the last agent programmed; `/healthz` 503, `/livez` 200",
        well="as above",
        kube_proxy="health ports refuse connections",
    )
    def test_may_be_away_at_the_start(self) -> None:
        async def act(scene: Scene) -> None:
            await scene.stop_api_server()
            await scene.until(lambda: (scene.metric("rest_client_requests_total", **no_answer(scene)) or 0) > 8)
            assert scene.dataplane.tables == []
            await scene.start_api_server()
            await settled(scene)

        with_agent(act, *OBJECTS)

    @fault(
        "it comes back with everything changed",
        place=30,
        seen="all of it, in one transaction",
        well="one list",
        kube_proxy="the same",
    )
    def test_may_come_back_as_another_one_with_everything_changed(self) -> None:
        other = Store()
        for kind, obj in (
            (NODE, node()),
            (SERVICE, service("shop", cluster_ip="10.96.0.99")),
            (SLICE, endpoints("10.244.1.7", name="shop")),
        ):
            other.create(kind, obj)
        other.update(NODE, node(), subresource="status")

        async def act(scene: Scene) -> None:
            await settled(scene)
            for number in range(20):  # its history is longer than the other one's: they can't be taken for each other
                scene.store.update(SLICE, endpoints(f"10.244.1.{100 + number}"))
            for kind, name in ((SERVICE, ("default", "web")), (NODE, ("", "n1"))):
                label = {"metadata": {"labels": {"seen": "yes"}}}
                scene.store.patch(kind, *name, label, "application/merge-patch+json")
            await scene.until(lambda: scene.backends() == {"10.244.1.119"})
            services, _, nodes, _ = scene.agent._reflectors
            await scene.until(lambda: min(services._version or 0, nodes._version or 0) > 20)
            await scene.stop_api_server()
            await scene.start_api_server(other)
            shop = WEB._replace(address="10.96.0.99")
            await scene.until(
                lambda: scene.backends(shop) == {"10.244.1.7"} and WEB not in scene.dataplane.table.frontends
            )

        with_agent(act, *OBJECTS)

    @fault(
        "it answers 5xx, 429, 410 or nonsense",
        place=40,
        seen="Services as they were; a line of the log for each try",
        well="the next try",
        kube_proxy="the same",
    )
    @pytest.mark.parametrize(
        "trouble",
        [
            lambda faults: faults.refuse(503, times=20),
            lambda faults: faults.refuse(429, times=20),
            lambda faults: faults.refuse(500, times=20),
            lambda faults: faults.garble(b"<html>Log in</html>", times=20),
            lambda faults: faults.garble(b"", times=20),
            lambda faults: faults.garble(b'{"kind":"ServiceList","items":[{', times=20, verb="list"),
            lambda faults: faults.refuse(410, times=8, verb="watch"),
        ],
        ids=["503", "429", "500", "a log-in page", "nothing", "half a list", "410"],
    )
    def test_may_talk_nonsense_for_a_while(self, trouble: Callable[[Any], None]) -> None:
        async def act(scene: Scene) -> None:
            await settled(scene)
            trouble(scene.server.faults)
            scene.server.faults.drop_watches()
            move(scene)
            await follows_again(scene)

        with_agent(act, *OBJECTS)

    @fault(
        "a watch breaks in the middle of a line",
        place=50,
        seen="nothing",
        well="at once, without a new list",
        kube_proxy="the same",
    )
    def test_may_say_nonsense_in_the_middle_of_a_watch(self) -> None:
        async def act(scene: Scene) -> None:
            await settled(scene)
            assert await scene.server.faults.say(b'{"type":"MODIFIED","object":{"meta\n') == 4
            await scene.until(lambda: not scene.connected)
            await still_serves(scene)
            move(scene)
            await follows_again(scene)

        with_agent(act, *OBJECTS)

    @fault(
        "a watch falls silent and stays open",
        place=60,
        seen="changes are late; `svcplane_reflector_silence_seconds` grows",
        well="120 s after the last word",
        kube_proxy="up to the watch's end, 5 to 10 min",
    )
    def test_may_fall_silent_without_closing_anything(self) -> None:
        async def act(scene: Scene) -> None:
            await settled(scene)
            scene.server.faults.mute = True
            move(scene)
            await asyncio.sleep(0)
            await still_serves(scene)
            scene.server.faults.mute = False
            await follows_again(scene)

        with_agent(act, *OBJECTS, silence=0.2)

    @fault(
        "it answers slowly: a list takes minutes, or comes by the byte",
        place=65,
        seen="Services as they were; `svcplane_reflector_connected` 0, `svcplane_reflector_silence_seconds` grows",
        well="when the list is complete; one on which nothing comes for 120 s is asked for anew",
        kube_proxy="when the list is complete",
    )
    def test_may_take_longer_for_a_list_than_silence_is_borne(self) -> None:
        async def act(scene: Scene) -> None:
            await settled(scene)
            scene.server.faults.delay, scene.server.faults.dribble = 0.1, (10, 0.05)
            scene.server.faults.refuse(410, times=4, verb="watch")
            scene.server.faults.drop_watches()
            move(scene)
            await scene.until(lambda: scene.metric("svcplane_reflector_connected", resource="endpointslices") == 0)
            await still_serves(scene)
            await scene.until(lambda: scene.backends() == NEW)
            scene.server.faults.clear()
            await follows_again(scene)

        with_agent(act, *OBJECTS, silence=0.4)

    @fault(
        "it does not let us see ServiceCIDRs, as kube-proxy's role of older clusters does not",
        place=68,
        seen="Services are served; a cluster IP that no Service has is not answered for; a line of the log",
        well="within 5 min of being let",
        kube_proxy="the same",
    )
    def test_may_keep_service_cidrs_from_us(self) -> None:
        async def act(scene: Scene) -> None:
            scene.server.faults.refuse(403, times=10**6, plural="servicecidrs")
            await scene.until(lambda: scene.backends() == OLD)
            await still_serves(scene)
            move(scene)
            await scene.until(lambda: scene.backends() == NEW)

        with_agent(act, *OBJECTS)

    @fault(
        "one object can't be read",
        place=70,
        seen="the others are served; `svcplane_reflector_unreadable` counts it",
        well="when it is put right",
        kube_proxy="the list fails, nothing is served anew",
    )
    def test_may_hold_a_service_that_cannot_be_read_and_the_others_are_served(self) -> None:
        async def act(scene: Scene) -> None:
            await settled(scene)
            line = (
                b'{"type":"ADDED","object":{"kind":"Service","apiVersion":"v1","metadata":{"name":"odd",'
                b'"namespace":"default","resourceVersion":"999999"},"spec":{"ports":"none"}}}\n'
            )
            await scene.server.faults.say(line)
            await scene.until(lambda: scene.metric("svcplane_reflector_unreadable", resource="services") == 1)
            await still_serves(scene)

        with_agent(act, *OBJECTS)


def no_answer(scene: Scene) -> dict[str, str]:
    return {"code": "<error>", "method": "GET", "host": f"127.0.0.1:{scene.port}"}


class TestTheNode:
    @fault(
        "the node gets another address or zone",
        place=130,
        seen="NodePorts and topology follow",
        well="at once",
        kube_proxy="zone: at once; address: at a restart",
    )
    def test_may_get_another_address_and_other_labels(self) -> None:
        def seen(scene: Scene) -> tuple[tuple[str, ...], str]:
            view = scene.agent._view
            return (view.addresses, view.place.zone) if view is not None else ((), "")

        async def act(scene: Scene) -> None:
            await settled(scene)
            scene.store.update(NODE, node("127.0.0.2"), subresource="status")
            await scene.until(lambda: seen(scene) == (("127.0.0.2",), ""))
            for zone in ("here", "there"):
                labels = {"metadata": {"labels": {"topology.kubernetes.io/zone": zone, "other": zone}}}
                scene.store.patch(NODE, "", "n1", labels, "application/merge-patch+json")
                await scene.until(lambda zone=zone: seen(scene) == (("127.0.0.2",), zone))
            await still_serves(scene)

        with_agent(act, *OBJECTS)

    @fault(
        "the node's pod network comes late or changes",
        place=140,
        seen="pods are not told from others until then",
        well="at once",
        kube_proxy="waits for it; ends when it changes",
    )
    def test_may_get_its_pods_network_late_and_another_one_later(self) -> None:
        def pods(scene: Scene, *networks: str) -> None:
            spec = {"spec": {"podCIDR": networks[0], "podCIDRs": list(networks)}}
            scene.store.patch(NODE, "", "n1", spec, "application/merge-patch+json")

        async def act(scene: Scene) -> None:
            await scene.until(lambda: bool(scene.dataplane.tables))
            assert scene.dataplane.table.detect_local == DetectLocal()
            pods(scene, "10.244.1.0/24")
            await scene.until(lambda: scene.dataplane.table.detect_local == DetectLocal(("10.244.1.0/24",)))

        with_agent(act, *OBJECTS, detect_local_mode="NodeCIDR", cluster_cidrs=())

    @fault(
        "the Node object is deleted",
        place=120,
        seen="Services as they were; `/healthz` 503, so load balancers leave",
        well="when it is there again",
        kube_proxy="the same",
    )
    def test_may_be_deleted_and_goes_on_serving_but_is_no_target_for_load_balancers(self) -> None:
        async def act(scene: Scene) -> None:
            await settled(scene)
            scene.store.delete(NODE, "", "n1")
            await scene.until(lambda: not scene.agent.health.node_eligible)
            await still_serves(scene)

        with_agent(act, *OBJECTS)

    @fault(
        "interface addresses come and go",
        place=150,
        seen="NodePorts follow",
        well="at once",
        kube_proxy="at the next full sync, up to 1 h",
    )
    def test_may_have_interfaces_that_come_and_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        moved: list[Callable[[frozenset[str]], None]] = []

        async def watch(changed: Callable[[frozenset[str]], None]) -> None:
            moved.append(changed)
            changed(frozenset({"192.0.2.1", "127.0.0.1"}))
            await asyncio.Event().wait()

        monkeypatch.setattr(controller.agent, "watch_interface_addresses", watch)

        async def act(scene: Scene) -> None:
            def node_ports() -> set[str]:
                return {a for a in scene.dataplane.table.node_addresses if ":" not in a}

            await scene.until(lambda: node_ports() == {"192.0.2.1"})
            moved[0](frozenset({"192.0.2.1", "192.0.2.77", "127.0.0.1"}))
            await scene.until(lambda: node_ports() == {"192.0.2.1", "192.0.2.77"})
            moved[0](frozenset({"192.0.2.77"}))
            await scene.until(lambda: node_ports() == {"192.0.2.77"})

        with_agent(act, *OBJECTS, node_port_addresses=("192.0.2.0/24",))

    def test_may_fail_to_tell_its_addresses_for_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tries = []
        real = controller.agent.watch_interface_addresses

        async def watch(changed: Callable[[frozenset[str]], None]) -> None:
            tries.append(1)
            if len(tries) == 1:
                raise OSError("too many open files")
            await real(changed)

        monkeypatch.setattr(controller.agent, "watch_interface_addresses", watch)
        with_agent(settled, *OBJECTS)
        assert len(tries) == 2


class _Blind(FakeDataplane):
    """Cannot look at its rules `times` times."""

    times = 3

    def tampered(self) -> bool:
        if self.times:
            self.times -= 1
            raise DataplaneError("too many open files")
        return super().tampered()


def test_a_dataplane_that_cannot_look_at_its_rules_goes_on_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller.agent, "_TAMPER_INTERVAL", 0.001)
    dataplane = _Blind()

    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.backends() == OLD and dataplane.times == 0)
        move(scene)
        await follows_again(scene)

    with_agent(act, *OBJECTS, dataplane=dataplane)


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """What is open stays open, and nothing more can be: neither by the agent nor by the API server in this process."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@fault(
    "no file descriptors are left",
    place=100,
    seen="Services as they were; changes are late",
    well="the next try",
    kube_proxy="the same",
)
def test_without_file_descriptors_it_serves_on_and_catches_up_when_there_are_some() -> None:
    async def act(scene: Scene) -> None:
        def unanswered() -> float:
            return scene.metric("rest_client_requests_total", **no_answer(scene)) or 0.0

        def watches_cannot_be_opened() -> bool:
            scene.server.faults.drop_watches()  # again: connections that were idle are used up first
            return unanswered() >= 3 and not scene.connected

        await settled(scene)
        with no_more_descriptors():
            await scene.until(watches_cannot_be_opened)
            move(scene)
            await still_serves(scene)
        await follows_again(scene)

    with_agent(act, *OBJECTS)


def test_a_clock_that_is_set_back_or_forward_is_no_fault() -> None:
    async def act(scene: Scene) -> None:
        await settled(scene)
        for now in (0.0, 1e11):
            scene.agent.health.clock = lambda now=now: now
            scene.agent.health.requested()
            assert scene.agent.health.healthy
        move(scene)
        await follows_again(scene)

    with_agent(act, *OBJECTS)


@fault(
    "events are refused",
    place=180,
    seen="one line of the log",
    well="-",
    kube_proxy="the same",
)
def test_events_that_are_refused_harm_nothing() -> None:
    async def act(scene: Scene) -> None:
        await settled(scene)
        move(scene)
        await follows_again(scene)
        assert scene.store.list(registry.CORE_EVENTS)[0] == []

    async def forbid(scene: Scene) -> None:
        scene.server.faults.refuse(403, times=10**6, plural="events")
        await act(scene)

    with_agent(forbid, *OBJECTS)
