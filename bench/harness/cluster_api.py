"""The API server of a cluster that is there already, in place of the lab's: `--kubeconfig`.

`kubectl proxy` brings credentials and TLS; the nodes of all contenders reach it by a relay at their 127.0.0.1. What the
contenders need is put into a namespace of its own and taken out at the end: Services without selectors, so that nobody
else writes their endpoints, and a Node that no machine is behind. Contenders also program what else the cluster has.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from bench import workload
from bench.harness import cluster, relay
from bench.harness.api_server import ApiRequests
from bench.workload import Json
from dataplane.errors import InputError

NAMESPACE = "svcplane-bench"
Created = tuple[str, Json]  #: the path that it is posted to, and the object


class ClusterApi(ApiRequests):
    """Somebody's API server, seen from the harness."""

    def __init__(
        self, kubeconfig: Path, services: int, nodes: Sequence[socket.socket], *, with_endpoints: bool
    ) -> None:
        """InputError if it cannot be reached, or holds something of these names already."""
        self._stack = ExitStack()
        self._made: list[str] = []
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            super().__init__(self._start_proxy(kubeconfig), NAMESPACE, with_endpoints=with_endpoints)
            self._start_relay(nodes)
            for path, contents in objects(services, with_endpoints=with_endpoints):
                self._create(path, contents)
            on_failure.pop_all()

    def close(self) -> None:
        """Take out what was put in, the last first."""
        for path in reversed(self._made):
            with suppress(RuntimeError):  # somebody was faster
                self.request("DELETE", path, accepted=(200, 202))
        self._made.clear()
        self._stack.close()

    def _start_proxy(self, kubeconfig: Path) -> int:
        try:
            proxy = subprocess.Popen(
                ["kubectl", "--kubeconfig", kubeconfig, "proxy", "--port=0"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except FileNotFoundError:
            raise InputError("--kubeconfig: expected kubectl to be installed") from None
        self._stack.callback(_end, proxy)
        assert proxy.stdout is not None
        # Starting to serve on 127.0.0.1:40123
        port = proxy.stdout.readline().strip().rpartition(":")[2]
        if not port.isdigit():
            assert proxy.stderr is not None
            raise InputError(f"--kubeconfig {kubeconfig}: kubectl proxy: {proxy.stderr.readline().strip()}")
        return int(port)

    def _start_relay(self, nodes: Sequence[socket.socket]) -> None:
        numbers = [node.fileno() for node in nodes]
        if not numbers:
            return  # the machines have relays of their own
        listeners = "fd:" + ",".join(map(str, numbers))
        command = [sys.executable, str(Path(relay.__file__)), listeners, str(self.port)]
        started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=numbers)
        self._stack.callback(_end, started)
        assert started.stdout is not None
        if started.stdout.readline() != "ready\n":
            raise RuntimeError("the relay did not start")

    def _create(self, path: str, contents: Json) -> None:
        name = contents["metadata"]["name"]
        try:
            self.request("POST", path, contents, accepted=(201,))
        except (RuntimeError, OSError) as error:
            raise InputError(f"--kubeconfig: cannot create {path}/{name}: {error}") from None
        self._made.append(f"{path}/{name}")


def objects(services: int, *, with_endpoints: bool) -> Iterator[Created]:
    """All that contenders need, each before what needs it."""
    core, discovery = f"/api/v1/namespaces/{NAMESPACE}", f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    yield "/api/v1/namespaces", namespace
    yield "/api/v1/nodes", cluster.unsaved(workload.node())
    for service in cluster.services(services):
        moved = _moved(service)
        moved["spec"] = {name: value for name, value in moved["spec"].items() if name != "selector"}
        yield f"{core}/services", moved
    for endpoint_slice in cluster.endpoint_slices(services):
        yield f"{discovery}/endpointslices", _moved(endpoint_slice)
        if with_endpoints:
            endpoints = _moved(cluster.endpoints(endpoint_slice))
            # Else the cluster would make slices of them.
            endpoints["metadata"]["labels"] = {"endpointslice.kubernetes.io/skip-mirror": "true"}
            yield f"{core}/endpoints", endpoints


def _moved(contents: Json) -> Json:
    return contents | {"metadata": contents["metadata"] | {"namespace": NAMESPACE}}


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate()
