"""kubectl, the API server, the controllers and a kubelet that needs no machines: the whole way of a Deployment."""

import asyncio
import json
import os
import shutil
import socket

import pytest

from lab.api.registry import DEPLOYMENTS, ENDPOINT_SLICES, ENDPOINTS, PODS, REPLICA_SETS, SERVICES
from lab.api.server import ApiServer

KUBECTL = shutil.which(os.environ.get("KUBECTL", "kubectl"))

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="needs kubectl (KUBECTL may name it)")

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: any/image:v1
        ports: [{name: http, containerPort: 8080}]
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
"""


class KubectlError(Exception):
    """kubectl has ended with another code than 0."""


class Client:
    """kubectl on one server."""

    def __init__(self, url, home):
        self._options = (f"--server={url}", f"--cache-dir={home}/cache")
        self._environment = {"HOME": str(home), "PATH": os.environ["PATH"], "KUBECONFIG": os.devnull}

    async def __call__(self, *arguments, stdin=""):
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            *self._options,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        out, err = await process.communicate(stdin.encode())
        if process.returncode:
            raise KubectlError(err.decode())
        return out.decode()

    async def json(self, *arguments):
        return json.loads(await self(*arguments, "-o", "json"))


@pytest.fixture
def cluster(cluster):
    """One whose clock runs."""
    return type(cluster)(cluster.make, time=None)


@pytest.fixture
def on_a_cluster(cluster, tmp_path):
    """Runs a scenario, a coroutine function that is given kubectl, while everything else works beside it."""

    async def kubelet():
        async for _ in cluster.store.watch(PODS):
            cluster.kubelet.step()

    async def whole(scenario):
        listening = socket.create_server(("127.0.0.1", 0))
        server = ApiServer(cluster.store)
        await server.start([listening])
        others = [asyncio.ensure_future(work) for work in (cluster.runner.run(), kubelet())]
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            await asyncio.wait_for(scenario(Client(url, tmp_path)), 60)
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await server.stop()

    return lambda scenario: asyncio.run(whole(scenario))


def addresses(endpoint_slices):
    return sorted(a for s in endpoint_slices["items"] for e in s.get("endpoints") or () for a in e["addresses"])


async def pod_addresses(kubectl):
    pods = await kubectl.json("get", "pods", "-l", "app=web")
    return sorted(pod["status"]["podIP"] for pod in pods["items"])


def test_a_deployment_and_its_service_come_up_and_the_slices_name_the_pods(on_a_cluster):
    async def scenario(kubectl):
        await kubectl("apply", "-f", "-", stdin=f"{DEPLOYMENT}---{SERVICE}")
        told = await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        assert 'deployment "web" successfully rolled out' in told
        pods = await kubectl.json("get", "pods")
        assert len(pods["items"]) == 3
        found = await kubectl.json("get", "endpointslices", "-l", "kubernetes.io/service-name=web")
        assert addresses(found) == await pod_addresses(kubectl)
        assert found["items"][0]["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]

    on_a_cluster(scenario)


def test_the_tables_of_kubectl_get_show_the_workload(on_a_cluster):
    async def scenario(kubectl):
        await kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
        await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        table = await kubectl("get", "deployments")
        assert table.splitlines()[1].split()[:4] == ["web", "3/3", "3", "3"]
        table = await kubectl("get", "replicasets")
        assert table.splitlines()[1].split()[1:4] == ["3", "3", "3"]

    on_a_cluster(scenario)


def test_scaling_adds_and_takes_endpoints(on_a_cluster):
    async def scenario(kubectl):
        await kubectl("apply", "-f", "-", stdin=f"{DEPLOYMENT}---{SERVICE}")
        for size in (5, 1, 0):
            await kubectl("scale", "deployment/web", f"--replicas={size}")
            await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
            await until(kubectl, size)

    async def until(kubectl, size):
        while True:
            found = await kubectl.json("get", "endpointslices", "-l", "kubernetes.io/service-name=web")
            if len(addresses(found)) == size:
                assert addresses(found) == await pod_addresses(kubectl)
                return

    on_a_cluster(scenario)


def test_a_restart_replaces_every_pod(on_a_cluster):
    async def scenario(kubectl):
        await kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
        await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        before = {pod["metadata"]["uid"] for pod in (await kubectl.json("get", "pods"))["items"]}
        await kubectl("rollout", "restart", "deployment/web")
        await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        after = {pod["metadata"]["uid"] for pod in (await kubectl.json("get", "pods"))["items"]}
        assert len(after) >= 3
        assert not before & after

    on_a_cluster(scenario)


def test_undo_brings_the_earlier_image_back(on_a_cluster):
    async def scenario(kubectl):
        await kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
        await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        await kubectl("set", "image", "deployment/web", "web=any/image:v2")
        await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        history = await kubectl("rollout", "history", "deployment/web")
        assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1", "2"]
        await kubectl("rollout", "undo", "deployment/web")
        await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        found = await kubectl.json("get", "deployment", "web")
        assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "any/image:v1"
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"

    on_a_cluster(scenario)


def test_a_rollout_that_cannot_succeed_is_reported_as_failed(on_a_cluster, cluster):
    async def scenario(kubectl):
        cluster.kubelet.makes_ready = lambda _: False
        broken = DEPLOYMENT.replace("replicas: 3", "replicas: 3\n  progressDeadlineSeconds: 1")
        await kubectl("apply", "-f", "-", stdin=broken)
        with pytest.raises(KubectlError, match="exceeded its progress deadline"):
            await kubectl("rollout", "status", "deployment/web", "--timeout=30s")

    on_a_cluster(scenario)


def test_deleting_everything_leaves_nothing_behind(on_a_cluster, cluster):
    async def scenario(kubectl):
        both = f"{DEPLOYMENT}---{SERVICE}"
        await kubectl("apply", "-f", "-", stdin=both)
        await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        await kubectl("delete", "-f", "-", stdin=both)
        while (await kubectl.json("get", "pods"))["items"]:
            pass
        cluster.runner.settle()
        kinds = (DEPLOYMENTS, REPLICA_SETS, PODS, SERVICES, ENDPOINT_SLICES, ENDPOINTS)
        assert [cluster.all(kind) for kind in kinds] == [[]] * len(kinds)

    on_a_cluster(scenario)
