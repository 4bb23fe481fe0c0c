"""What a real kube-proxy writes for the cluster of `mixed_cluster.py`.

    PYTHONPATH=.:tests python tests/kube_proxy_rules.py PATH-OF-KUBE-PROXY > kube-proxy-1.20.2.txt

starts it (root) in a namespace of its own, against the lab's API server, and prints `iptables-save` once nothing
changes any more. It is given Endpoints, so that a kube-proxy older than `discovery.k8s.io/v1` can be asked, too.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from controller.objects import EndpointSlice, Service
from lab.api.registry import ENDPOINT_SLICES, ENDPOINTS, NODES, SERVICES
from lab.api.server import ApiServer
from lab.api.store import Store
from mixed_cluster import MIXED

ROOT = Path(__file__).parents[1]
NODE = "n1"
NODE_ADDRESS = "192.168.7.2"
SERVER = "127.0.0.1:8001"
FLAGS = (
    f"--hostname-override={NODE}",
    "--cluster-cidr=10.244.0.0/16",
    "--proxy-mode=iptables",
    "--feature-gates=EndpointSliceProxying=false",
    "--conntrack-max-per-core=0",
    "--conntrack-tcp-timeout-established=0",
    "--conntrack-tcp-timeout-close-wait=0",
)
KUBECONFIG = f"""\
apiVersion: v1
kind: Config
current-context: here
contexts: [{{name: here, context: {{cluster: here, user: here}}}}]
clusters: [{{name: here, cluster: {{server: "http://{SERVER}"}}}}]
users: [{{name: here, user: {{}}}}]
"""

Json = dict[str, Any]


def rules_of(kube_proxy: str) -> str:
    """What this kube-proxy writes with iptables-legacy. Root; nothing of it is seen outside."""
    isolated = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*isolated, sys.executable, __file__, "--inside", str(Path(kube_proxy).resolve())]
    paths = os.pathsep.join(map(str, (ROOT, Path(__file__).parent)))
    environment = dict(os.environ, PYTHONPATH=paths)
    run = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if run.returncode != 0:
        raise RuntimeError(run.stderr[-3000:])
    return run.stdout


async def _inside(kube_proxy: str) -> None:
    for command in (
        "mount -t tmpfs none /run",  # its lock and ours are not those of the host
        "ip link set lo up",
        "ip link add node type veth peer name away",
        "ip link set away up",
        f"ip address add {NODE_ADDRESS}/24 dev node",
        "ip link set node up",
    ):
        subprocess.run(command.split(), check=True)
    server = ApiServer(_store())
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 8001)) as listener:
        await server.start([listener])
        kubeconfig, log = Path(folder, "kubeconfig"), Path(folder, "log")
        kubeconfig.write_text(KUBECONFIG)
        for program in ("iptables", "ip6tables"):  # kube-proxy calls them by these names
            for part in ("", "-save", "-restore"):
                legacy = shutil.which(f"{program}-legacy{part}")
                assert legacy is not None, f"no {program}-legacy{part} here"
                Path(folder, program + part).symlink_to(legacy)
        environment = dict(os.environ, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                kube_proxy, f"--kubeconfig={kubeconfig}", *FLAGS, stdout=output, stderr=output, env=environment
            )
        try:
            print(await _settled(process, log))
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _settled(process: asyncio.subprocess.Process, log: Path) -> str:
    """`iptables-save` once it has every chain's rules and is the same twice, without counters and comments."""
    before = ""
    for _ in range(60):
        await asyncio.sleep(1)
        if process.returncode is not None:
            break
        saved = subprocess.run(["iptables-legacy-save"], capture_output=True, text=True, check=True).stdout
        lines = [line for line in saved.splitlines() if not line.startswith("#")]
        now = re.sub(r"\[\d+:\d+\]", "[0:0]", "\n".join(lines))
        if now == before and "-j DNAT" in now:
            return now
        before = now
    raise SystemExit(f"kube-proxy wrote no rules:\n{log.read_text()[-3000:]}")


def _store() -> Store:
    store = Store(seed=0, service_networks=("10.96.0.0/12",))
    store.create(NODES, _object("v1", "Node", {"metadata": {"name": NODE}}))
    for service, endpoint_slice in MIXED:
        created = store.create(SERVICES, _object("v1", "Service", _service(service)))
        store.update(SERVICES, created | {"status": _plain(service).get("status", {})}, subresource="status")
        store.create(ENDPOINT_SLICES, _object("discovery.k8s.io/v1", "EndpointSlice", _plain(endpoint_slice)))
        store.create(ENDPOINTS, _object("v1", "Endpoints", _endpoints(service, endpoint_slice)))
    return store


def _object(version: str, kind: str, content: Json) -> Json:
    return {"apiVersion": version, "kind": kind} | content


def _plain(thing: Service | EndpointSlice) -> Json:
    plain: Json = json.loads(msgspec.json.encode(thing))
    plain["metadata"].pop("creationTimestamp", None)  # a server writes it
    return plain


def _service(service: Service) -> Json:
    plain = _plain(service)
    spec = plain["spec"]
    if spec.get("externalTrafficPolicy") == "Local" and spec["type"] == "LoadBalancer":
        spec["healthCheckNodePort"] = 32000
    return plain


def _endpoints(service: Service, endpoint_slice: EndpointSlice) -> Json:
    slice_ = _plain(endpoint_slice)
    addresses = [{"ip": e["addresses"][0], "nodeName": e["nodeName"]} for e in slice_["endpoints"]]
    subsets = [{"addresses": addresses, "ports": slice_["ports"]}] if addresses else []
    return {"metadata": {"name": service.metadata.name, "namespace": "default"}, "subsets": subsets}


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        asyncio.run(_inside(sys.argv[2]))
    else:
        print(rules_of(sys.argv[1]), end="")
