"""The whole agent, on the lab's API server, with a dataplane that can be read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from datetime import UTC, datetime

import aiohttp
import pytest

from controller.agent import Agent, AgentOptions
from controller.api.access import Access
from controller.api.client import Client
from controller.node import NodeOptions
from controller.objects import ANNOTATION_TRIGGER_TIME
from dataplane.fake import FakeDataplane
from dataplane.interface import Drift
from dataplane.reference import Outcome, Packet
from dataplane.table import Endpoint, Protocol
from fault import fault
from lab.api import registry
from lab.api.server import ApiServer
from lab.api.store import Store
from patience import PATIENCE
from ports import own_port
from whole_agent import FAST, NODE, SERVICE, SLICE, WEB, Scene, endpoints, node, service, with_agent


def test_the_first_sync_holds_everything_at_once() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.dataplane.tables))
        assert scene.backends() == {"10.244.1.5", "10.244.1.6"}
        assert len(scene.dataplane.tables[0].frontends) == len(scene.dataplane.table.frontends)

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5", "10.244.1.6")))


def test_nothing_is_programmed_before_the_node_has_an_address() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: all(r.synced.is_set() for r in scene.agent._reflectors))
        await asyncio.sleep(0.05)
        assert scene.dataplane.tables == []
        scene.store.update(NODE, node(), subresource="status")
        await scene.until(lambda: bool(scene.dataplane.tables))

    with_agent(act, (NODE, {"metadata": {"name": "n1"}}), (SERVICE, service()))


def test_a_change_of_endpoints_is_one_change_of_one_frontend() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.backends() == {"10.244.1.5"})
        scene.store.update(SLICE, endpoints("10.244.1.9"))
        await scene.until(lambda: scene.backends() == {"10.244.1.9"})
        assert list(scene.dataplane.changes[-1].frontends) == [WEB]

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))


def test_a_deleted_service_is_gone() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: WEB in scene.dataplane.table.frontends)
        scene.store.delete(SERVICE, "default", "web")
        await scene.until(lambda: WEB not in scene.dataplane.table.frontends)

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))


def test_a_zone_that_changes_moves_every_service() -> None:
    piece = endpoints("10.244.1.5", "10.244.1.6")
    for entry, zone in zip(piece["endpoints"], ("za", "zb"), strict=True):
        entry["hints"] = {"forZones": [{"name": zone}]}

    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.backends() == {"10.244.1.5"})
        labels = {"topology.kubernetes.io/zone": "zb"}
        scene.store.patch(NODE, "", "n1", {"metadata": {"labels": labels}}, "application/merge-patch+json")
        await scene.until(lambda: scene.backends() == {"10.244.1.6"})

    zone = {"topology.kubernetes.io/zone": "za"}
    with_agent(act, (NODE, node(**zone)), (SERVICE, service()), (SLICE, piece))


@fault(
    "the kernel refuses the rules",
    place=80,
    seen="Services as they were; `FailedToSync` on the Node; after 60 s `/healthz` and `/livez` 503",
    well="tries after 0.5 s, 1 s, ... 30 s, each time everything",
    kube_proxy="tries after 30 s; a failed first sync waits for the next change, up to 1 h",
)
def test_a_failed_sync_is_repeated_in_full_and_nothing_is_lost() -> None:
    dataplane = FakeDataplane()
    dataplane.failures = 3

    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.backends() == {"10.244.1.5"})
        dataplane.failures = 2
        scene.store.update(SLICE, endpoints("10.244.1.9"))
        await scene.until(lambda: scene.backends() == {"10.244.1.9"})
        assert scene.agent.health.healthy

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")), dataplane=dataplane)


def test_what_an_apply_could_not_finish_is_tried_again_without_any_change() -> None:
    dataplane = FakeDataplane()
    dataplane.unfinished = "old flows stay"

    async def act(scene: Scene) -> None:
        await scene.until(lambda: len(scene.dataplane.tables) >= 3)
        assert scene.agent.health.healthy
        assert not any(scene.dataplane.changes[1:])

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")), dataplane=dataplane)


def test_a_failure_is_told_also_where_something_was_left_unfinished_before() -> None:
    dataplane = FakeDataplane()
    dataplane.unfinished = "old flows stay"

    async def act(scene: Scene) -> None:
        def failures() -> list[str]:
            events = scene.store.list(registry.CORE_EVENTS)[0]
            return [e["involvedObject"]["name"] for e in events if e["reason"] == "FailedToSync"]

        await scene.until(lambda: len(dataplane.tables) >= 2)
        assert not failures()
        dataplane.failures = 2
        await scene.until(lambda: failures() == ["n1"])

    with_agent(act, (NODE, node()), dataplane=dataplane)


def test_while_syncs_fail_health_says_since_when() -> None:
    dataplane = FakeDataplane()

    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.dataplane.tables))
        dataplane.failures = 10**9
        scene.store.update(SLICE, endpoints("10.244.1.9"))
        await scene.until(lambda: scene.agent.health.pending_since is not None)
        scene.agent.health.stopwatch = lambda: 1e12
        assert not scene.agent.health.healthy

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")), dataplane=dataplane)


@fault(
    "somebody flushes or changes the rules",
    place=90,
    seen="broken Services for that long; `RulesTampered` on the Node; `svcplane_repairs_total`",
    well="about a second",
    kube_proxy="until the next full sync, up to 1 h",
)
def test_what_somebody_else_broke_is_repaired() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.dataplane.tables))
        syncs = len(scene.dataplane.tables)
        scene.dataplane.drift = Drift(missing=("table ip svcplane",))
        await scene.until(lambda: len(scene.dataplane.tables) > syncs)
        assert scene.dataplane.audit() == Drift()

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))


def test_packets_meet_what_the_objects_say() -> None:
    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.backends() == {"10.244.1.5"})
        packet = Packet(Endpoint("10.244.1.7", 40000), Endpoint(WEB.address, WEB.port), Protocol.TCP)
        decision = scene.dataplane.send(packet)
        assert (decision.outcome, str(decision.backend)) == (Outcome.FORWARD, "10.244.1.5:8080")

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))


@pytest.mark.parametrize("path", ["/healthz", "/livez"])
def test_health_is_served_as_kube_proxy_serves_it(path: str) -> None:
    async def main() -> None:
        port = own_port()
        store = Store()
        store.create(NODE, node())
        store.update(NODE, node(), subresource="status")
        listening = socket.create_server(("127.0.0.1", 0))
        server = ApiServer(store)
        await server.start([listening])
        options = AgentOptions(NodeOptions("n1"), FAST, healthz=("127.0.0.1", port))
        access = Access(f"http://127.0.0.1:{listening.getsockname()[1]}")
        async with Client(access) as client, aiohttp.ClientSession() as session:
            dataplane = FakeDataplane()
            task = asyncio.create_task(Agent(options, client, dataplane).run())
            async with asyncio.timeout(PATIENCE):
                while not dataplane.tables:
                    await asyncio.sleep(0.002)
                await asyncio.sleep(0.05)
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    assert answer.status == 200
                    body = await answer.json()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await server.stop()
        assert body["healthy"] is True
        assert body["lastUpdated"] == body["currentTime"]
        assert ("nodeEligible" in body) == (path == "/healthz")

    asyncio.run(main())


def free_node_port() -> int:
    for port in range(32767, 30000, -1):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port of the NodePort range is free")


def test_a_load_balancer_is_told_how_many_endpoints_are_here() -> None:
    port = free_node_port()
    balanced = service()
    balanced["spec"] |= {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "healthCheckNodePort": port,
    }

    async def act(scene: Scene) -> None:
        async with aiohttp.ClientSession() as session:

            async def until_told(code: int, count: int) -> None:
                async with asyncio.timeout(PATIENCE):
                    while True:
                        with contextlib.suppress(aiohttp.ClientConnectionError):
                            async with session.get(f"http://127.0.0.1:{port}/") as answer:
                                if (answer.status, (await answer.json())["localEndpoints"]) == (code, count):
                                    return
                        await asyncio.sleep(0.002)

            await until_told(200, 2)
            scene.store.update(SLICE, endpoints())
            await until_told(503, 0)

    objects = (NODE, node()), (SERVICE, balanced), (SLICE, endpoints("10.244.1.5", "10.244.1.6"))
    with_agent(act, *objects, node_port_addresses=("0.0.0.0/0",))


def test_metrics_tell_what_the_agent_knows_and_did() -> None:
    local = service()
    local["spec"]["internalTrafficPolicy"] = "Local"
    elsewhere = endpoints("10.244.2.5")
    elsewhere["endpoints"][0]["nodeName"] = "n2"

    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.dataplane.tables))
        changed = endpoints("10.244.2.6")
        changed["endpoints"][0]["nodeName"] = "n2"
        changed["metadata"]["annotations"] = {ANNOTATION_TRIGGER_TIME: datetime.now(UTC).isoformat()}
        scene.store.update(SLICE, changed)
        read = scene.agent.metrics.registry.get_sample_value
        latencies = "kubeproxy_network_programming_duration_seconds_count"
        await scene.until(lambda: read(latencies, {"ip_family": "IPv4"}) == 1)
        assert read("kubeproxy_sync_proxy_rules_service_changes_total") == 1
        assert read("kubeproxy_sync_proxy_rules_endpoint_changes_total") == 2
        assert read("kubeproxy_sync_proxy_rules_endpoint_changes_pending") == 0
        shortage = {"ip_family": "IPv4", "traffic_policy": "internal"}
        assert read("kubeproxy_sync_proxy_rules_no_local_endpoints_total", shortage) == 1
        synced = read("kubeproxy_sync_proxy_rules_last_timestamp_seconds", {"ip_family": "IPv6"})
        assert synced == pytest.approx(time.time(), abs=60)
        for resource in ("services", "endpointslices", "nodes", "servicecidrs"):
            assert read("svcplane_reflector_lists_total", {"resource": resource}) == 1
            assert read("svcplane_reflector_connected", {"resource": resource}) == 1
        server = f"127.0.0.1:{scene.port}"
        answered = {"code": "200", "method": "GET", "host": server}
        assert (read("rest_client_requests_total", answered) or 0) >= 8

    with_agent(act, (NODE, node()), (SERVICE, local), (SLICE, elsewhere))


def test_a_service_that_goes_takes_its_shortage_along() -> None:
    local = service()
    local["spec"]["internalTrafficPolicy"] = "Local"
    elsewhere = endpoints("10.244.2.5")
    elsewhere["endpoints"][0]["nodeName"] = "n2"

    async def act(scene: Scene) -> None:
        def shortages() -> float | None:
            name = "kubeproxy_sync_proxy_rules_no_local_endpoints_total"
            labels = {"ip_family": "IPv4", "traffic_policy": "internal"}
            return scene.agent.metrics.registry.get_sample_value(name, labels)

        await scene.until(lambda: shortages() == 1)
        scene.store.delete(SERVICE, "default", "web")
        await scene.until(lambda: shortages() == 0)

    with_agent(act, (NODE, node()), (SERVICE, local), (SLICE, elsewhere))


def test_a_failed_sync_is_counted() -> None:
    dataplane = FakeDataplane()
    dataplane.failures = 2

    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.dataplane.tables))
        name = "kubeproxy_sync_proxy_rules_nftables_sync_failures_total"
        assert scene.agent.metrics.registry.get_sample_value(name, {"ip_family": "IPv4"}) == 2

    with_agent(act, (NODE, node()), (SERVICE, service()), dataplane=dataplane)


def test_operators_hear_of_the_start_of_conflicts_and_of_failures() -> None:
    dataplane = FakeDataplane()
    dataplane.failures = 3
    older = service("api", cluster_ip="10.96.0.81")
    older["spec"]["externalIPs"] = ["198.51.100.9"]
    younger = service("shop", cluster_ip="10.96.0.82")
    younger["spec"]["externalIPs"] = ["198.51.100.9"]

    odd = service("odd", cluster_ip="10.96.0.83")
    odd["metadata"]["annotations"] = {"svcplane.dev/pick": "fastest"}

    async def act(scene: Scene) -> None:
        def told() -> set[tuple[str, str]]:
            return {(e["involvedObject"]["name"], e["reason"]) for e in scene.store.list(registry.CORE_EVENTS)[0]}

        expected = {
            ("n1", "Starting"),
            ("n1", "FailedToSync"),
            ("shop", "FrontendConflict"),
            ("odd", "AnnotationNotHeeded"),
        }
        await scene.until(lambda: told() == expected and bool(scene.dataplane.tables))
        scene.dataplane.drift = Drift(missing=("table ip svcplane",))
        await scene.until(lambda: told() == {*expected, ("n1", "RulesTampered")})

    with_agent(act, (NODE, node()), (SERVICE, older), (SERVICE, younger), (SERVICE, odd), dataplane=dataplane)
