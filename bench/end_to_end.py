"""A whole agent (ours, or kube-proxy) against an API server, timed by packets.

Runs as ``python -m bench.end_to_end N [--endpoints] -- COMMAND...`` in a namespace of its own and prints one JSON
object. ``{kubeconfig}`` in the command becomes a file's path.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from bench import canary
from bench.workload import Json

_PORT = 8001
_SERVER = f"http://127.0.0.1:{_PORT}"
_CHANGES = 10
_PAUSE = 2.5  # seconds between changes: kube-proxy waits a second after each sync before it begins another
_LIMIT = 900.0  # seconds to wait for a packet

_SLICE = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/" + canary.NAME
_ENDPOINTS = "/api/v1/namespaces/default/endpoints/" + canary.NAME

_KUBECONFIG = f"""\
apiVersion: v1
kind: Config
current-context: bench
contexts: [{{name: bench, context: {{cluster: bench, user: bench}}}}]
clusters: [{{name: bench, cluster: {{server: "{_SERVER}"}}}}]
users: [{{name: bench, user: {{}}}}]
"""


def main(services: int, with_endpoints: bool, command: Sequence[str]) -> dict[str, float]:
    canary.prepare_network()
    canary.start_endpoints()
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.api_server", str(services), str(_PORT), *(["endpoints"] * with_endpoints)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    if server.stdout.readline() != "ready\n":
        raise SystemExit("the API server did not start")
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig, log = Path(folder, "kubeconfig"), Path(folder, "log")
        kubeconfig.write_text(_KUBECONFIG)
        words = [word.replace("{kubeconfig}", str(kubeconfig)) for word in command]
        with log.open("wb") as output:
            began = time.perf_counter()
            agent = subprocess.Popen(words, stdout=output, stderr=output)
        try:
            start = canary.wait_for(0, began, _LIMIT, agent)
            time.sleep(_PAUSE)
            changes = [_change(which % 2, with_endpoints, agent) for which in range(1, _CHANGES + 1)]
        except TimeoutError as error:
            raise SystemExit(f"{error}\n{log.read_text()[-3000:]}") from error
        memory = _resident(agent.pid)
        agent.terminate()
        agent.wait()
    server.terminate()
    server.wait()
    return {"start_s": start, "change_median_ms": 1000 * statistics.median(changes), "resident_mb": memory}


def _change(which: int, with_endpoints: bool, agent: subprocess.Popen[bytes]) -> float:
    """Move the canary to this endpoint; seconds from the request to the first answer from there."""
    began = time.perf_counter()
    if with_endpoints:
        _patch(_ENDPOINTS, {"subsets": canary.endpoints(which)["subsets"]})
    _patch(_SLICE, {"endpoints": canary.endpoint_slice(which)["endpoints"]})
    took = canary.wait_for(which, began, _LIMIT, agent)
    time.sleep(_PAUSE)
    return took


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
    parser.add_argument("services", type=int)
    parser.add_argument("--endpoints", action="store_true")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    print(json.dumps(main(args.services, args.endpoints, args.command)))
