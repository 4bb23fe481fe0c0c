"""A case through a whole agent: started on n1 as kube-proxy is, told by an API server, asked by real packets.

One agent serves case after case as long as they want the same flags, and must be left by each of them as if it had just
begun. A Service of our own tells when a step is in force: it moves to another port with every step, and so does its
slice, and the agent hears of both after everything else.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import yaml
from prometheus_client.parser import text_string_to_metric_families

from conformance.cases import Expectation, Probe, Step
from conformance.control_plane import ControlPlane
from conformance.packet_run import MODES, PacketRun, forget_flows
from conformance.setting import ADDRESSES, CLUSTER_CIDRS, node_object
from dataplane.table import ForwardingTable
from lab.api.errors import ApiError
from lab.api.registry import ENDPOINT_SLICES, NODES, SERVICES, Resource
from lab.network.namespace import Namespace
from patience import PATIENCE
from served_store import Served

_NAMESPACE = "default"
_KINDS = {"Service": SERVICES, "EndpointSlice": ENDPOINT_SLICES}
_PATIENCE = 2 * PATIENCE

_CANARY, _CANARY_IP = "canary", "10.96.255.254"
_FLAGS = {
    "detect_local_mode": "--detect-local-mode",
    "cluster_cidrs": "--cluster-cidr",
    "bridge_interface": "--pod-bridge-interface",
    "interface_name_prefix": "--pod-interface-name-prefix",
    "node_port_addresses": "--nodeport-addresses",
    "masquerade_all": "--masquerade-all",
}


def flags_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    """A case's options as kube-proxy's flags."""
    given = {"cluster_cidrs": CLUSTER_CIDRS, **options}
    return tuple(f"{_FLAGS[name]}={_text(value)}" for name, value in sorted(given.items()))


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


class AgentOnN1:
    """An API server that n1 can reach, and the agent that is told by it."""

    def __init__(self, n1: Namespace, folder: Path) -> None:
        self._n1 = n1
        self._log = folder / "agent.log"
        self._kubeconfig = folder / "kubeconfig"
        listening = n1.call(lambda: socket.create_server(("127.0.0.1", 0)))
        self._kubeconfig.write_text(_kubeconfig(listening.getsockname()[1]))
        self._created: datetime | None = None  #: when the next object is, if its case says so
        self._served = Served(listening=listening, clock=lambda: self._created or datetime.now(UTC))
        self._flags: tuple[str, ...] = ()
        self._zone: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = itertools.count(1)
        self._made: dict[tuple[str, str], None] = {}

    def close(self) -> None:
        self.kill()
        self._served.stop()
        self._n1.run([*_AGENT, "--cleanup"], check=True, capture_output=True)

    # --- the agent ------------------------------------------------------------------------------------------------

    def wants(self, flags: tuple[str, ...], zone: str | None) -> None:
        """Have an agent with these flags, on a node in that zone."""
        if self._process is None or (flags, zone) != (self._flags, self._zone):
            self.kill()
            self._flags, self._zone = flags, zone
            self._write_node(zone)
            self.start()

    def start(self) -> None:
        command = [*_AGENT, f"--kubeconfig={self._kubeconfig}", "--hostname-override=n1", *self._flags]
        with self._log.open("ab") as log:
            entered = ["ip", "netns", "exec", self._n1.name, *command]
            self._process = subprocess.Popen(entered, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(60)
            self._process = None

    # --- the cluster ----------------------------------------------------------------------------------------------

    def take(self, step: Step) -> None:
        """Make and delete what the step says, and wait until that is in force."""
        # What goes first makes room: an address is given to one Service at a time.
        for reference in step.delete:
            plural, _, name = reference.partition("/")
            self._delete(next(kind for kind in _KINDS if _KINDS[kind].plural == plural), name)
        for raw in step.apply:
            self._put(_KINDS[raw["kind"]], raw)
            self._made[raw["kind"], raw["metadata"]["name"]] = None
        self.settle()

    def forget(self) -> None:
        """Delete whatever was made."""
        for kind, name in list(self._made):
            self._delete(kind, name)
        self.settle()

    def settle(self) -> None:
        """Wait until the agent has programmed everything until now."""
        port = 20000 + next(self._ports)
        for resource, canary in ((SERVICES, _canary_service(port)), (ENDPOINT_SLICES, _canary_slice(port))):
            self._put(resource, canary)
        deadline = time.monotonic() + _PATIENCE
        while not self._n1.call(partial(_answers, port)) or not self._n1.call(_is_idle):
            assert time.monotonic() < deadline, self._log.read_text()[-3000:]
            time.sleep(0.01)

    def _delete(self, kind: str, name: str) -> None:
        self._served.call(lambda: self._served.store.delete(_KINDS[kind], _NAMESPACE, name))
        self._made.pop((kind, name), None)

    def _put(self, resource: Resource, raw: Mapping[str, Any]) -> None:
        obj = {key: value for key, value in raw.items() if not key.startswith("_")}
        obj["metadata"] = {"namespace": _NAMESPACE, **raw["metadata"]}
        store = self._served.store

        created = raw["metadata"].get("creationTimestamp")

        def put() -> None:
            self._created = datetime.fromisoformat(created) if created else None
            try:
                known = store.get(resource, _NAMESPACE, raw["metadata"]["name"])
            except ApiError:
                made = store.create(resource, obj)
            else:
                made = store.update(resource, obj | {"status": known["status"]} if "status" in known else obj)
            if "_status" in raw:
                store.update(resource, made | {"status": raw["_status"]}, subresource="status")

        self._served.call(put)

    def _write_node(self, zone: str | None) -> None:
        node = json.loads(msgspec.json.encode(node_object(zone)))
        store = self._served.store

        def write() -> None:
            with contextlib.suppress(ApiError):
                store.delete(NODES, "", "n1")
            made = store.create(NODES, {"metadata": node["metadata"], "spec": {"podCIDRs": node["spec"]["podCIDRs"]}})
            store.update(NODES, made | {"status": {"addresses": node["status"]["addresses"]}}, subresource="status")

        self._served.call(write)


_AGENT = (sys.executable, "-m", "svcplane.main", "agent")


def _kubeconfig(port: int) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "here", "user": {}}],
        }
    )


def _canary_service(port: int) -> dict[str, Any]:
    ports = [{"name": f"p{port}", "port": port, "protocol": "TCP"}]
    return {"metadata": {"name": _CANARY}, "spec": {"clusterIP": _CANARY_IP, "ports": ports}}


def _canary_slice(port: int) -> dict[str, Any]:
    return {
        "metadata": {"name": _CANARY, "labels": {"kubernetes.io/service-name": _CANARY}},
        "addressType": "IPv4",
        "ports": [{"name": f"p{port}", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ADDRESSES["b1"][0]], "nodeName": "n1", "conditions": {"ready": True}}],
    }


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((_CANARY_IP, port), timeout=0.5):
        return True
    return False


def _is_idle() -> bool:
    """Whether the agent has nothing left to do. Rules come first, then it forgets flows."""
    with contextlib.suppress(OSError), urllib.request.urlopen("http://127.0.0.1:10249/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        times = {s.name: s.value for family in families for s in family.samples if s.name.endswith("timestamp_seconds")}
        prefix = "kubeproxy_sync_proxy_rules_last"
        return times[f"{prefix}_timestamp_seconds"] >= times[f"{prefix}_queued_timestamp_seconds"]
    return False


NFTABLES = next(mode for mode in MODES if mode.name == "nftables")


@dataclass
class AgentRun(PacketRun):
    """One case, served by an agent. Leaves n1 without the case's rules and without known flows."""

    agent: AgentOnN1 = field(kw_only=True)

    def run(self) -> list[str]:
        self.agent.wants(flags_of(self.case.options), self.case.node_zone)
        try:
            return super().run()
        finally:
            self.agent.forget()
            self.machines["n1"].call(forget_flows)

    def _compare_health(self, probe: Probe, expected: Expectation) -> list[str]:
        """The agent answers at health check ports a little after the rules are in force."""
        deadline = time.monotonic() + _PATIENCE / 4
        while (wrong := super()._compare_health(probe, expected)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return wrong

    @contextlib.contextmanager
    def _programming(self) -> Iterator[Callable[[Step], ForwardingTable]]:
        # What should be in force tells which probes may be sent at the same time; nobody is given it.
        control_plane = ControlPlane(self.case)

        def take(step: Step) -> ForwardingTable:
            if step.restart:
                self.agent.kill()
                self.agent.start()
            self.agent.take(step)
            return control_plane.take(step)

        yield take
