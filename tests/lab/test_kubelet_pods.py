"""The lab's kubelet with real pods: namespaces, servers, probes, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab.api.errors import ApiError
from lab.api.registry import CORE_EVENTS, PODS
from lab.api.store import Store
from lab.kubelet import Kubelet
from lab.kubelet.addresses import AddressPool
from lab.kubelet.node import NodeRuntime
from lab.network.network import Network
from lab.network.probe import Probe, fetch, run_probe
from lab.network.topology import cluster_topology
from lab.pod.asynchronous import AsyncProcesses
from patience import PATIENCE

pytestmark = pytest.mark.kernel


class OneNode:
    """A store, a kubelet for n1, and what tests ask of them."""

    def __init__(self, store: Store, network: Network, logs: Path) -> None:
        self.store = store
        self.network = network
        self.logs = logs

    def create(self, name: str = "web", grace: int = 1, **container: Any) -> None:
        spec = {
            "nodeName": "n1",
            "terminationGracePeriodSeconds": grace,
            "containers": [{"name": "web", "image": "any", **container}],
        }
        self.create_with(name, spec)

    def create_with(self, name: str, spec: dict[str, Any]) -> None:
        self.store.create(
            PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
        )

    def pod(self, name: str = "web") -> dict[str, Any]:
        return self.store.get(PODS, "default", name)

    def told(self) -> dict[str, str]:
        """The Events so far: reason and latest message."""
        return {event["reason"]: event["message"] for event in self.store.list(CORE_EVENTS)[0]}

    def told_of(self, name: str) -> set[str]:
        """The messages of the Events about one pod."""
        events = self.store.list(CORE_EVENTS)[0]
        return {event["message"] for event in events if event["involvedObject"]["name"] == name}

    def container(self, name: str = "web") -> dict[str, Any]:
        """The status of the pod's only container."""
        statuses = self.pod(name).get("status", {}).get("containerStatuses") or [{"state": {}, "restartCount": 0}]
        found: dict[str, Any] = statuses[0]
        return found

    def is_ready(self, name: str = "web") -> bool:
        conditions = self.pod(name).get("status", {}).get("conditions") or []
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def exists(self, name: str = "web") -> bool:
        try:
            return bool(self.pod(name))
        except ApiError:
            return False

    async def answers(self, address: str, port: int = 8080, seconds: float = PATIENCE) -> set[str]:
        """Who answers there in time, or the error, asked from the outside host."""
        outcome = await asyncio.to_thread(run_probe, self.network["cp"], Probe(address, port, count=1, timeout=seconds))
        return set(outcome.pods) | set(outcome.errors)

    async def post(self, address: str, path: str) -> None:
        argv = ["curl", "-sf", "-X", "POST", f"http://{address}:8080{path}"]
        await asyncio.to_thread(self.network["cp"].run, argv)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(2 * PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def one_node(lab_name: str) -> Iterator[Network]:
    network = Network(f"{lab_name}-kubelet", cluster_topology(1)).create()
    yield network
    network.delete()


@pytest.fixture
def with_kubelet(one_node: Network, tmp_path: Path) -> Callable[[Callable[[OneNode], Awaitable[None]]], None]:
    """Runs a test's body while a kubelet runs."""

    @asynccontextmanager
    async def kubelet() -> AsyncIterator[OneNode]:
        store, processes = Store(), AsyncProcesses()
        host = one_node.topology.host("n1")
        node = NodeRuntime(host, one_node, processes, AddressPool(host.pod_cidrs), tmp_path, lambda: datetime.now(UTC))
        task = asyncio.create_task(Kubelet(store, node).run())
        try:
            yield OneNode(store, one_node, tmp_path)
        finally:
            task.cancel()
            await asyncio.wait((task,))
            processes.close()
            for machine in list(one_node.machines):
                one_node.remove_pod(machine)

    def run(body: Callable[[OneNode], Awaitable[None]]) -> None:
        async def main() -> None:
            async with kubelet() as node:
                await body(node)

        asyncio.run(main())

    return run


Run = Callable[[Callable[[OneNode], Awaitable[None]]], None]


def test_a_pod_gets_an_address_and_answers_there(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        node.create(ports=[{"containerPort": 9090}])
        await until(node.is_ready)
        status = node.pod()["status"]
        assert status["phase"] == "Running"
        assert status["hostIP"] == "192.0.2.1"
        assert [entry["ip"] for entry in status["podIPs"]] == ["10.244.1.2", "fd00:244:1::2"]
        assert await node.answers("10.244.1.2", 9090) == {"web"}
        assert await node.answers("fd00:244:1::2") == {"web"}
        assert node.told() == {"Started": "Started container web"}
        assert "serves TCP [5353, 8080, 8081, 9090]" in (node.logs / "default_web.log").read_text()

    with_kubelet(body)


def test_many_pods_come_up_together(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        names = [f"web-{number}" for number in range(20)]
        for name in names:
            node.create(name)
        await until(lambda: all(map(node.is_ready, names)))
        addresses = [node.pod(name)["status"]["podIP"] for name in names]
        assert len(set(addresses)) == 20
        for name, address in zip(names, addresses, strict=True):
            assert await node.answers(address) == {name}

    with_kubelet(body)


def test_a_readiness_probe_decides_about_readiness(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        probe = {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}
        node.create(ports=[{"name": "http", "containerPort": 8080}], readinessProbe=probe)
        await until(node.is_ready)
        await node.post("10.244.1.2", "/ready?value=false")
        await until(lambda: not node.is_ready())
        assert await node.answers("10.244.1.2") == {"web"}
        assert node.told()["Unhealthy"] == "Readiness probe failed: HTTP probe failed with statuscode: 503"
        await node.post("10.244.1.2", "/ready?value=true")
        await until(node.is_ready)
        assert node.container()["restartCount"] == 0

    with_kubelet(body)


def test_a_probe_that_never_succeeds_keeps_a_running_pod_unready(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        node.create("closed", readinessProbe={"tcpSocket": {"port": 7}, "periodSeconds": 1})
        node.create("failing", readinessProbe={"exec": {"command": ["false"]}, "periodSeconds": 1})
        node.create("fine", readinessProbe={"exec": {"command": ["sh", "-c", "ip -o link | grep -q eth0"]}})
        await until(lambda: node.is_ready("fine"))
        for name in ("closed", "failing"):
            await until(lambda: node.container(name)["state"].get("running") is not None)  # noqa: B023
            assert not node.is_ready(name)

    with_kubelet(body)


def test_a_failed_liveness_probe_restarts_the_server(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        probe = {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
        node.create(livenessProbe=probe, env=[{"name": "DRAIN_SECONDS", "value": "0"}])
        await until(node.is_ready)
        await node.post("10.244.1.2", "/ready?value=false")
        await until(lambda: node.container()["restartCount"] >= 1 and node.is_ready())
        assert node.told()["Killing"] == "Container web failed liveness probe, will be restarted"
        assert node.container()["lastState"]["terminated"]["exitCode"] == 0
        assert await node.answers("10.244.1.2") == {"web"}

    with_kubelet(body)


def test_a_deleted_pod_serves_while_it_drains_and_is_then_gone(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        node.create(grace=600, env=[{"name": "DRAIN_SECONDS", "value": "600"}])
        await until(node.is_ready)
        node.store.delete(PODS, "default", "web")
        assert await node.answers("10.244.1.2") == {"web"}
        assert node.pod()["metadata"]["deletionTimestamp"]
        node.store.delete(PODS, "default", "web", grace_seconds=1)
        await until(lambda: not node.exists())
        assert set(node.network.machines) == {"n1", "cp", "x1", "segment"}

    with_kubelet(body)


def test_a_pre_stop_sleep_comes_before_the_signal(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        no_drain = [{"name": "DRAIN_SECONDS", "value": "0"}]
        node.create("hooked", 30, env=no_drain, lifecycle={"preStop": {"exec": {"command": ["sleep", "600"]}}})
        node.create("plain", 30, env=no_drain)
        await until(lambda: node.is_ready("hooked") and node.is_ready("plain"))
        node.store.delete(PODS, "default", "hooked")
        node.store.delete(PODS, "default", "plain")
        await until(lambda: not node.exists("plain"))
        assert await node.answers(node.pod("hooked")["status"]["podIP"]) == {"hooked"}
        # A second delete may shorten the grace period, also in the middle of a hook.
        node.store.delete(PODS, "default", "hooked", grace_seconds=1)
        await until(lambda: not node.exists("hooked"))

    with_kubelet(body)


def test_a_server_that_ignores_its_grace_period_is_killed(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        node.create(grace=1, env=[{"name": "DRAIN_SECONDS", "value": "600"}])
        await until(node.is_ready)
        node.store.delete(PODS, "default", "web")
        await until(lambda: not node.exists())

    with_kubelet(body)


def test_a_pod_deleted_by_force_may_come_back_at_once(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        node.create(env=[{"name": "DRAIN_SECONDS", "value": "600"}])
        await until(node.is_ready)
        node.store.delete(PODS, "default", "web", grace_seconds=0)
        assert not node.exists()
        node.create()
        await until(node.is_ready)
        address = node.pod()["status"]["podIP"]
        assert address != "10.244.1.2"
        assert await node.answers(address) == {"web"}
        assert await node.answers("10.244.1.2", seconds=0.5) <= {"timeout", "unreachable"}

    with_kubelet(body)


def test_a_pod_on_its_nodes_network_has_the_nodes_address(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        container = {"name": "web", "image": "any", "ports": [{"containerPort": 9000}]}
        node.create_with("web", {"nodeName": "n1", "hostNetwork": True, "containers": [container]})
        await until(node.is_ready)
        assert node.pod()["status"]["podIP"] == "192.0.2.1"
        assert await node.answers("192.0.2.1", 9000) == {"web"}
        # A second one finds the port taken, says so, and tries again.
        node.create_with("second", {"nodeName": "n1", "hostNetwork": True, "containers": [container]})
        await until(lambda: node.container("second")["restartCount"] >= 2)
        assert not node.is_ready("second")
        status, body = fetch(node.network["cp"], "192.0.2.1", 9000, timeout=PATIENCE)
        assert (status, body[:4]) == (200, b"web ")

    with_kubelet(body)


def test_a_pod_that_is_not_restarted_ends_as_its_server_does(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        container = {"name": "web", "image": "any", "ports": [{"containerPort": 9000}]}
        for name in ("first", "second"):
            node.create_with(
                name,
                {"nodeName": "n1", "hostNetwork": True, "restartPolicy": "Never", "containers": [container]},
            )
        await until(
            lambda: {node.pod(n).get("status", {}).get("phase") for n in ("first", "second")} == {"Running", "Failed"}
        )

    with_kubelet(body)


def test_a_startup_probe_holds_the_others_up(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        node.create(
            startupProbe={"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 60},
            livenessProbe={"tcpSocket": {"port": 7}, "periodSeconds": 1, "failureThreshold": 1},
        )
        await until(lambda: node.container()["restartCount"] >= 1)
        assert node.told()["Killing"] == "Container web failed liveness probe, will be restarted"
        node.create("slow", startupProbe={"tcpSocket": {"port": 7}, "periodSeconds": 1, "failureThreshold": 60})
        await until(lambda: "running" in node.container("slow")["state"])
        await until(lambda: "Startup probe failed: refused" in node.told_of("slow"))
        assert not node.is_ready("slow")
        assert node.container("slow")["started"] is False

    with_kubelet(body)


def test_a_setting_that_makes_no_sense_is_told_and_the_pod_can_be_deleted(with_kubelet: Run) -> None:
    async def body(node: OneNode) -> None:
        node.create(env=[{"name": "DRAIN_SECONDS", "value": "soon"}])
        await until(lambda: "Failed" in node.told())
        assert node.container()["state"]["waiting"]["message"].startswith("DRAIN_SECONDS 'soon': expected a number")
        node.store.delete(PODS, "default", "web")
        await until(lambda: not node.exists())

    with_kubelet(body)
