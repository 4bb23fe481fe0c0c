"""A whole agent against an API server, timed by packets.

Runs as ``python -m bench.end_to_end SHAPE [OPTIONS]`` in a namespace of its own and prints one JSON object.

Watch events come in the order of the changes. So how far an agent is behind while changes pour in, the canary tells:
when packets follow its own change, all that came before is programmed too.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import select
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import canary, workload
from bench.harness.statistics import quantile
from bench.workload import Json, Shape

_PORT = 8001
_SERVER = f"http://127.0.0.1:{_PORT}"
_LIMIT = 900.0  # seconds to wait for a packet

_SLICE = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/" + canary.NAME

_KUBECONFIG = f"""\
apiVersion: v1
kind: Config
current-context: bench
contexts: [{{name: bench, context: {{cluster: bench, user: bench}}}}]
clusters: [{{name: bench, cluster: {{server: "{_SERVER}"}}}}]
users: [{{name: bench, user: {{}}}}]
"""


@dataclass(frozen=True, slots=True)
class Course:
    """What happens to a cluster of this shape. `pause`, before each change but when they pour in, is in seconds."""

    shape: Shape
    changes: int
    pause: float
    pour: int  #: changes a second elsewhere in the cluster, at last
    pour_seconds: float


def main(course: Course) -> dict[str, float]:
    canary.prepare_network()
    canary.start_endpoints()
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.api_server", str(course.shape), str(_PORT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    if server.stdout.readline() != "ready\n":
        raise SystemExit("the API server did not start")
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig, log = Path(folder, "kubeconfig"), Path(folder, "log")
        kubeconfig.write_text(_KUBECONFIG)
        with log.open("wb") as output:
            began = time.perf_counter()
            agent = subprocess.Popen(_agent(kubeconfig), stdout=output, stderr=output)
        try:
            figures = {"start_s": canary.wait_for(0, began, _LIMIT, agent)}
            changes = [_change(which % 2, course, agent) for which in range(1, course.changes + 1)]
            figures["change_median_ms"] = 1000 * statistics.median(changes)
            if (slow := quantile(changes, 0.99)) is not None:
                figures["change_p99_ms"] = 1000 * slow
            figures["resident_mb"] = _resident(agent.pid)
            if course.pour_seconds:
                figures |= _pour(course, server, agent)
        except TimeoutError as error:
            raise SystemExit(f"{error}\n{log.read_text()[-3000:]}") from error
        agent.terminate()
        agent.wait()
    server.communicate()
    return figures


def _agent(kubeconfig: Path) -> Sequence[str | Path]:
    return (
        Path(sys.executable).with_name("svcplane"),
        "agent",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={workload.NODE}",
        f"--cluster-cidr={workload.CLUSTER_CIDR}",
    )


def _change(which: int, course: Course, agent: subprocess.Popen[bytes]) -> float:
    """Move the canary to this endpoint; seconds from the API server's answer to the first one from there."""
    time.sleep(course.pause * random.uniform(0.5, 1.5))  # in no step with anything that the agent does
    _patch(_SLICE, {"endpoints": canary.endpoint_slice(which)["endpoints"]})
    return canary.wait_for(which, time.perf_counter(), _LIMIT, agent)


def _pour(course: Course, server: subprocess.Popen[str], agent: subprocess.Popen[bytes]) -> dict[str, float]:
    assert server.stdin is not None
    assert server.stdout is not None
    print("pour", course.pour, course.pour_seconds, file=server.stdin, flush=True)
    at_once = replace(course, pause=0.0)
    behind: list[float] = []
    while not select.select([server.stdout], [], [], 0)[0]:
        behind.append(_change((course.changes + 1 + len(behind)) % 2, at_once, agent))
    return {
        "poured_a_second": float(server.stdout.readline()),
        "behind_at_most_s": max(behind),
        "behind_median_s": statistics.median(behind),
        "resident_after_pouring_mb": _resident(agent.pid),
    }


def _patch(path: str, change: Json) -> None:
    request = urllib.request.Request(
        _SERVER + path,
        data=json.dumps(change).encode(),
        headers={"Content-Type": "application/merge-patch+json"},
        method="PATCH",
    )
    with urllib.request.urlopen(request) as answer:
        answer.read()


def _resident(process: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{process}/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", type=Shape.parse)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.3)
    parser.add_argument("--pour", type=int, default=1000)
    parser.add_argument("--pour-seconds", type=float, default=0.0)
    args = parser.parse_args()
    print(json.dumps(main(Course(args.shape, args.changes, args.pause, args.pour, args.pour_seconds))))
