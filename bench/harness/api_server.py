"""The lab's API server with the cluster of `cluster.py`, in a process of its own.

Runs as ``python -m bench.harness.api_server SERVICES LISTENER,LISTENER... [endpoints]``, where a listener is the
number of a descriptor that it has been given: a socket listens in the network namespace that it was made in, so one
server can be at 127.0.0.1 of every node. It says ``ready``, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Sequence

from bench import workload
from bench.harness import cluster
from bench.workload import Json
from lab.api.registry import ENDPOINT_SLICES, ENDPOINTS, NODES, SERVICES
from lab.api.server import ApiServer
from lab.api.store import Store

PORT = 8001  #: at 127.0.0.1 of every node
_PATIENCE = 60.0  #: seconds for an answer


class ApiRequests:
    """An API server at a port of 127.0.0.1, and what the harness changes there."""

    def __init__(self, port: int, namespace: str, *, with_endpoints: bool) -> None:
        self.port = port
        self._namespace = namespace
        self._with_endpoints = with_endpoints
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)

    def set_addresses(self, service: str, addresses: Sequence[str]) -> None:
        """Let these be the endpoints of a Service. Returns when the server has it."""
        items = [cluster.endpoint(address) for address in addresses]
        if self._with_endpoints:
            path = f"/api/v1/namespaces/{self._namespace}/endpoints/{service}"
            subsets = self.request("GET", path)["subsets"]
            self.request("PATCH", path, {"subsets": [subsets[0] | {"addresses": [{"ip": a} for a in addresses]}]})
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{self._namespace}/endpointslices"
        self.request("PATCH", f"{slices}/{cluster.slice_name(service)}", {"endpoints": items})

    def close(self) -> None:
        self._connection.close()

    def request(self, method: str, path: str, contents: Json | None = None, accepted: Sequence[int] = (200,)) -> Json:
        """What the server answers. RuntimeError if its status is another one than those."""
        headers = {"Content-Type": "application/json" if method == "POST" else "application/merge-patch+json"}
        self._connection.request(method, path, json.dumps(contents) if contents else None, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status not in accepted:
            raise RuntimeError(f"{method} {path}: {answer.status}: {said[:500]!r}")
        result: Json = json.loads(said)
        return result


class Api(ApiRequests):
    """The lab's, in a process of its own."""

    def __init__(self, services: int, nodes: Sequence[socket.socket], *, with_endpoints: bool) -> None:
        own = socket.create_server(("127.0.0.1", 0))
        super().__init__(own.getsockname()[1], "default", with_endpoints=with_endpoints)
        listeners = [own, *nodes]
        numbers = ",".join(str(listener.fileno()) for listener in listeners)
        command = [sys.executable, "-m", __spec__.name, str(services), numbers, *(["endpoints"] * with_endpoints)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[listener.fileno() for listener in listeners],
        )
        own.close()
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the API server did not start")

    def close(self) -> None:
        super().close()
        self._process.communicate()


def filled(services: int, with_endpoints: bool) -> Store:
    store = Store(seed=0, service_networks=(workload.SERVICE_CIDR,))
    store.create(NODES, cluster.unsaved(workload.node()))
    for service in cluster.services(services):
        store.create(SERVICES, service)
    for endpoint_slice in cluster.endpoint_slices(services):
        store.create(ENDPOINT_SLICES, endpoint_slice)
        if with_endpoints:
            store.create(ENDPOINTS, cluster.endpoints(endpoint_slice))
    return store


async def main(services: int, listeners: Sequence[int], with_endpoints: bool) -> None:
    server = ApiServer(filled(services, with_endpoints))
    gc.freeze()
    await server.start([socket.socket(fileno=number) for number in listeners])
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), [int(n) for n in sys.argv[2].split(",")], "endpoints" in sys.argv[3:]))
