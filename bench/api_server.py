"""The lab's API server with the cluster of `workload.py` in it, and the canary.

Runs as ``python -m bench.api_server SHAPE PORT [endpoints]`` and says ``ready`` on its standard output when it listens
on 127.0.0.1. With ``endpoints`` it holds Endpoints objects too, for proxies that are older than EndpointSlices.

A line ``pour PER_SECOND SECONDS`` on its standard input lets changes pour in, and is answered by how many were made a
second when they are over. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
import sys
import time

from bench import canary, workload
from bench.workload import Json, Shape
from lab.api.registry import ENDPOINT_SLICES, ENDPOINTS, NODES, SERVICES
from lab.api.server import ApiServer
from lab.api.store import Store


def filled(shape: Shape, with_endpoints: bool) -> Store:
    store = Store(seed=0, service_networks=(workload.SERVICE_CIDR,))
    store.create(NODES, _unsaved(workload.node()))
    store.create(SERVICES, canary.service())
    store.create(ENDPOINT_SLICES, canary.endpoint_slice(0))
    for number in range(shape.services):
        store.create(SERVICES, _unsaved(workload.service(number)))
        if with_endpoints:
            store.create(ENDPOINTS, workload.endpoints(number, shape.endpoints))
    for number, part in shape.slices:
        store.create(ENDPOINT_SLICES, _slice(shape, number, part))
    if with_endpoints:
        store.create(ENDPOINTS, canary.endpoints(0))
    return store


def _slice(shape: Shape, number: int, part: int, not_ready: int | None = None) -> Json:
    return _unsaved(workload.endpoint_slice(number, not_ready, endpoints=shape.endpoints, part=part))


def _unsaved(object_: Json) -> Json:
    """Without what a server writes itself."""
    written_by_server = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "ownerReferences")
    metadata = {name: value for name, value in object_["metadata"].items() if name not in written_by_server}
    return object_ | {"metadata": metadata}


async def pour(store: Store, shape: Shape, per_second: int, seconds: float) -> tuple[int, float]:
    """One endpoint of some slice goes out of service, then comes back, and so on; returns (changes, seconds)."""
    slices = list(shape.slices)
    began = time.monotonic()
    for made in itertools.count():
        elapsed = time.monotonic() - began
        if elapsed >= seconds:
            break
        # 7919 is a prime that divides no usual number of slices: they come in no order.
        number, part = slices[made // 2 * 7919 % len(slices)]
        gone = workload.SLICE * part if made % 2 == 0 else None
        store.update(ENDPOINT_SLICES, _slice(shape, number, part, gone))
        await asyncio.sleep(max(0.0, (made + 1) / per_second - elapsed))  # also when late: the watch must get its turn
    return made, elapsed


async def main(shape: Shape, port: int, with_endpoints: bool) -> None:
    store = filled(shape, with_endpoints)
    server = ApiServer(store)
    gc.freeze()
    with socket.create_server(("127.0.0.1", port)) as listener:
        await server.start([listener])
        print("ready", flush=True)
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            _, per_second, seconds = words
            made, took = await pour(store, shape, int(per_second), float(seconds))
            print(made / took, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Shape.parse(sys.argv[1]), int(sys.argv[2]), "endpoints" in sys.argv[3:]))
