"""The lab's API server with the cluster of `workload.py` in it, and the canary.

Runs as ``python -m bench.api_server SHAPE PORT``; says ``ready`` on its standard output when it listens on 127.0.0.1.

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
from bench.harness.cluster import unsaved
from bench.workload import Json, Shape
from lab.api.registry import ENDPOINT_SLICES, NODES, SERVICES
from lab.api.server import ApiServer
from lab.api.store import Store


def filled(shape: Shape) -> Store:
    store = Store(seed=0, service_networks=(workload.SERVICE_CIDR,))
    store.create(NODES, unsaved(workload.node()))
    store.create(SERVICES, canary.service())
    store.create(ENDPOINT_SLICES, canary.endpoint_slice(0))
    for number in range(shape.services):
        store.create(SERVICES, unsaved(workload.service(number)))
    for number, part in shape.slices:
        store.create(ENDPOINT_SLICES, _slice(shape, number, part))
    return store


def _slice(shape: Shape, number: int, part: int, not_ready: int | None = None) -> Json:
    return unsaved(workload.endpoint_slice(number, not_ready, endpoints=shape.endpoints, part=part))


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


async def main(shape: Shape, port: int) -> None:
    store = filled(shape)
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
    asyncio.run(main(Shape.parse(sys.argv[1]), int(sys.argv[2])))
