"""What it takes to bring a whole cluster into this kernel, and to follow its changes.

Runs as ``python -m bench.programming MODE SERVICES SLICES EVENTS`` in a namespace of its own and prints one JSON
object. It is the agent's own path without HTTP: bytes → typed objects → Cluster → Compiler → the mode's dataplane. The
three files hold what the API server would send: pages of lists, and watch events, one per line.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

# The agent imports it, so it counts in the memory, though nothing here uses it.
import controller.agent  # noqa: F401
from bench import workload
from bench.harness.statistics import quantile
from controller.api.wire import Changed, Decoder
from controller.cluster import Cluster
from controller.compiler import Compiler
from controller.garbage import keep, no_collection
from controller.node import NodeOptions, node_view
from controller.objects import EndpointSlice, Node, Object, Service
from dataplane.interface import Dataplane, DataplaneError
from dataplane.iptables import IptablesDataplane
from dataplane.iptables.chain import TABLES, Layout
from dataplane.ipvs import IpvsDataplane
from dataplane.nftables import NftablesDataplane
from dataplane.userspace.dataplane import UserspaceDataplane

T = TypeVar("T", bound=Object)

_REPETITIONS = 5  # of whole compiles and cold applies
_AT_MOST = 10.0  # seconds, after which there are no more of one kind

MODES: Mapping[str, Callable[[], Dataplane]] = {
    "nftables": NftablesDataplane,
    "iptables-legacy": partial(IptablesDataplane, "legacy"),
    "iptables-nft": partial(IptablesDataplane, "nft"),
    "iptables-legacy tree": partial(IptablesDataplane, "legacy", layout=Layout.TREE),
    "iptables-nft tree": partial(IptablesDataplane, "nft", layout=Layout.TREE),
    "ipvs": IpvsDataplane,
    "userspace nfqueue": UserspaceDataplane,
}


def main(mode: str, services: Path, slices: Path, events: Path) -> dict[str, float | str | None]:
    """What was measured; or, as `lacks`, why this machine cannot do it."""
    try:
        dataplane = MODES[mode]()
    except DataplaneError as error:
        return {"lacks": str(error)}
    cluster = Cluster(lambda: None)
    decode = _seconds(lambda: _fill(cluster, services, slices))
    view = node_view(
        NodeOptions(workload.NODE, cluster_cidrs=(workload.CLUSTER_CIDR,)),
        Decoder(Node).event(json.dumps({"type": "ADDED", "object": workload.node()}).encode()).object,  # type: ignore[union-attr]
        [workload.NODE_ADDRESS],
    )
    networks = frozenset({workload.SERVICE_CIDR})
    compiler = Compiler(view)
    with no_collection():  # as in the agent's first synchronisation, and what it does after that
        compiles = [_seconds(lambda: compiler.update(cluster.take_changes(), view, networks))]
        applies = [_seconds(lambda: dataplane.apply(compiler.table))]
    keep()

    changes = list(_changes(cluster, compiler, dataplane, events))
    memory = _memory()
    alone = _legacy_alone(dataplane) if mode == "iptables-legacy" else {}

    # Only now, since it makes garbage that an agent would not have.
    for _ in range(_REPETITIONS - 1):
        if sum(applies) > _AT_MOST:
            break
        again = Compiler(view)
        dataplane.cleanup()
        with no_collection():
            compiles.append(_seconds(lambda: again.update(cluster.everything(), view, networks)))  # noqa: B023
            applies.append(_seconds(lambda: dataplane.apply(again.table)))  # noqa: B023
    dataplane.cleanup()
    return {
        "decode_s": decode,
        "compile_s": statistics.median(compiles),
        "cold_s": statistics.median(applies),
        "cold_worst_s": max(applies),
        "colds": len(applies),
        "changes": len(changes),
        "change_median_ms": 1000 * statistics.median(changes),
        "change_p99_ms": None if (slow := quantile(changes, 0.99)) is None else 1000 * slow,
        "resident_mb": memory["VmRSS"],
        "resident_peak_mb": memory["VmHWM"],
        **alone,
    }


def _legacy_alone(dataplane: Dataplane) -> dict[str, float]:
    """What the program itself takes, with nobody in front of it: for these very rules, and for one empty chain more.

    It reads and writes the whole table for each change. Leaves no rules.
    """

    def run(what: str, *words: str, given: str = "") -> str:
        command = [f"iptables-legacy-{what}", *words]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout

    saved = run("save")
    one_chain = "*nat\n:BENCH - [0:0]\nCOMMIT\n"
    change = statistics.median(_seconds(lambda: run("restore", "--noflush", given=one_chain)) for _ in range(3))
    dataplane.cleanup()
    cold = _seconds(lambda: run("restore", given=saved))
    run("restore", given="".join(f"*{table}\nCOMMIT\n" for table in TABLES))
    return {"alone_cold_s": cold, "alone_change_median_ms": 1000 * change}


def _fill(cluster: Cluster, services: Path, slices: Path) -> None:
    cluster.services.replace({o.metadata.key: o for o in _objects(Decoder(Service), services)})
    cluster.slices.replace({o.metadata.key: o for o in _objects(Decoder(EndpointSlice), slices)})


def _objects(decoder: Decoder[T], file: Path) -> Iterable[T]:
    with file.open("rb") as pages:
        for page in pages:
            yield from decoder.page(page).objects


def _changes(cluster: Cluster, compiler: Compiler, dataplane: Dataplane, events: Path) -> Iterable[float]:
    """How long each watch event took, from its bytes to the kernel's word that it is done."""
    decoder, spent = Decoder(EndpointSlice), 0.0
    for line in events.read_bytes().splitlines():
        began = time.perf_counter()
        event = decoder.event(line)
        assert isinstance(event, Changed)
        cluster.slices.change(event.key, event.object)
        applied = dataplane.apply(compiler.update(cluster.take_changes()))
        took = time.perf_counter() - began
        assert applied.operations > 0, "the event changed nothing"
        assert not applied.full, "one endpoint made everything be written"
        yield took
        spent += took
        if spent > _AT_MOST:
            return


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _memory() -> dict[str, float]:
    """Resident memory of this process in MB (10^6 bytes): now, and at most."""
    status = Path("/proc/self/status").read_text()
    return {name: int(kib) * 1024 / 1e6 for name, kib in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.M)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], *map(Path, sys.argv[2:]))))
