"""The lab's API server with the cluster of `workload.py` in it, and the canary.

Runs as ``python -m bench.api_server N PORT [endpoints]`` and says ``ready`` on its standard output when it listens on
127.0.0.1. With ``endpoints`` it holds Endpoints objects too, for proxies that are older than EndpointSlices.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys

from bench import canary, workload
from bench.workload import Json
from lab.api.registry import ENDPOINT_SLICES, ENDPOINTS, NODES, SERVICES
from lab.api.server import ApiServer
from lab.api.store import Store


def filled(services: int, with_endpoints: bool) -> Store:
    store = Store(seed=0, service_networks=(workload.SERVICE_CIDR,))
    store.create(NODES, _unsaved(workload.node()))
    store.create(SERVICES, canary.service())
    store.create(ENDPOINT_SLICES, canary.endpoint_slice(0))
    for number in range(services):
        store.create(SERVICES, _unsaved(workload.service(number)))
        store.create(ENDPOINT_SLICES, _unsaved(workload.endpoint_slice(number)))
        if with_endpoints:
            store.create(ENDPOINTS, workload.endpoints(number))
    if with_endpoints:
        store.create(ENDPOINTS, canary.endpoints(0))
    return store


def _unsaved(object_: Json) -> Json:
    """Without what a server writes itself."""
    written_by_server = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "ownerReferences")
    metadata = {name: value for name, value in object_["metadata"].items() if name not in written_by_server}
    return object_ | {"metadata": metadata}


async def main(services: int, port: int, with_endpoints: bool) -> None:
    server = ApiServer(filled(services, with_endpoints))
    gc.freeze()
    with socket.create_server(("127.0.0.1", port)) as listener:
        await server.start([listener])
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), "endpoints" in sys.argv[3:]))
