"""Somebody's API server in place of the lab's: here it is an empty one of the lab's, which kubectl is told of."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import workload
from bench.harness import cluster
from bench.harness.api_server import ApiRequests
from bench.harness.cluster_api import NAMESPACE, ClusterApi, objects
from dataplane.errors import InputError
from lab.api.server import ApiServer
from lab.api.store import Store
from lab.cluster.kubeconfig import kubeconfig as kubeconfig_text

SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"


@pytest.fixture
def server() -> Iterator[ApiRequests]:
    """One that holds nothing yet."""
    listener = socket.create_server(("127.0.0.1", 0))
    started, ended = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        api = ApiServer(Store(seed=0, service_networks=(workload.SERVICE_CIDR,)))
        await api.start([listener])
        started.set()
        await ended.wait()
        await api.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait()
    asked = ApiRequests(listener.getsockname()[1], NAMESPACE, with_endpoints=False)
    yield asked
    asked.close()
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


@pytest.fixture
def kubeconfig(server: ApiRequests, tmp_path: Path) -> Path:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig_text("theirs", f"http://127.0.0.1:{server.port}"))
    return file


def names(server: ApiRequests, path: str) -> list[str]:
    return sorted(item["metadata"]["name"] for item in server.request("GET", path)["items"])


def test_services_are_put_in_and_taken_out_and_nodes_reach_them_at_their_own_port(
    server: ApiRequests, kubeconfig: Path
) -> None:
    node = socket.create_server(("127.0.0.1", 0))
    before = names(server, "/api/v1/namespaces"), names(server, "/api/v1/nodes"), names(server, "/api/v1/services")
    api = ClusterApi(kubeconfig, 3, [node], with_endpoints=True)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.getsockname()[1]}/api/v1/services") as answer:
            found = {item["metadata"]["name"] for item in json.load(answer)["items"]}
        assert {"service-0", "service-2", "canary", "affine"} <= found
        api.set_addresses("canary", cluster.BACKENDS[1:2])
        changed = server.request("GET", f"{SLICES}/{cluster.slice_name('canary')}")
        assert [endpoint["addresses"] for endpoint in changed["endpoints"]] == [[cluster.BACKENDS[1]]]
        older = server.request("GET", f"/api/v1/namespaces/{NAMESPACE}/endpoints/canary")
        assert older["subsets"][0]["addresses"] == [{"ip": cluster.BACKENDS[1]}]
    finally:
        api.close()
        node.close()
    after = names(server, "/api/v1/namespaces"), names(server, "/api/v1/nodes"), names(server, "/api/v1/services")
    assert after == before
    assert names(server, SLICES) == []


def test_what_is_there_already_is_refused_and_left_alone(server: ApiRequests, kubeconfig: Path) -> None:
    node = cluster.unsaved(workload.node())
    server.request("POST", "/api/v1/nodes", node, accepted=(201,))
    before = names(server, "/api/v1/namespaces")
    with pytest.raises(InputError, match=r"--kubeconfig: cannot create /api/v1/nodes/n1: .*409"):
        ClusterApi(kubeconfig, 3, [], with_endpoints=False)
    assert names(server, "/api/v1/nodes") == ["n1"]
    assert names(server, "/api/v1/namespaces") == before


def test_a_kubeconfig_that_is_none_is_one_clear_line(kubeconfig: Path) -> None:
    kubeconfig.write_text("no")
    with pytest.raises(InputError, match=r"--kubeconfig .*: kubectl proxy: "):
        ClusterApi(kubeconfig, 3, [], with_endpoints=False)


def test_nobody_else_writes_the_endpoints() -> None:
    contents = list(objects(3, with_endpoints=True))
    services = [made for path, made in contents if path.endswith("/services")]
    assert len(services) > 3
    assert not any("selector" in service["spec"] for service in services)
    older = [made for path, made in contents if path.endswith("/endpoints")]
    assert all("endpointslice.kubernetes.io/skip-mirror" in made["metadata"]["labels"] for made in older)
    assert all(made["metadata"]["namespace"] == NAMESPACE for made in (*services, *older))
