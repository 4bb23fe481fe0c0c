"""`svcplane lab demo`: a Service at work, from manifests to packets, told step by step. Leaves nothing behind."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lab
from dataplane.errors import InputError
from lab.api.registry import DEPLOYMENTS, PODS, SERVICES
from lab.cluster.apply import apply
from lab.cluster.client import MERGE_PATCH, ApiClient, path_of
from lab.cluster.down import down
from lab.cluster.machines import find_machine
from lab.cluster.options import LabOptions, lab_options
from lab.cluster.up import LabError, up
from lab.kernel_view import chain_rules, map_elements, tracked_connections
from lab.manifests import load
from lab.network.namespace import Namespace
from lab.network.probe import HeldConnection, Outcome, Probe, run_probe
from svcplane.lab.up import OUR_AGENT

_MANIFEST = Path(lab.__file__).parents[1] / "examples" / "web.yaml"
_CONNECTIONS = 300
_PATIENCE = 60.0  #: seconds; a quiet machine needs one
_BAR = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true", help="leave the lab running at the end")


def run(args: argparse.Namespace) -> int:
    if not _MANIFEST.exists():
        raise InputError(f"{_MANIFEST}: not there; the demo needs the examples of a clone")
    options = lab_options(name=f"demo-{os.getpid()}", nodes=2, family="dual", proxy_mode="nftables", agent=OUR_AGENT)
    started = time.monotonic()
    try:
        _title(f"A cluster of {options.nodes} nodes, each a network namespace of this machine")
        state = up(options, step=lambda text: _say(f"... {text}"))
        _Demo(options, ApiClient(state.api)).play()
    except LabError as error:
        print(f"svcplane lab demo: {error}", file=sys.stderr)
        return 1
    finally:
        if not args.keep:
            down(options.name)
    if args.keep:
        print(f"\nThe lab stays: svcplane lab status --name {options.name}; svcplane lab down --name {options.name}")
    else:
        print(f"\nEverything is gone again, after {time.monotonic() - started:.0f} s.")
    return 0


class _Demo:
    """The story, one method a scene."""

    def __init__(self, options: LabOptions, client: ApiClient) -> None:
        self._options = options
        self._client = client

    def play(self) -> None:
        self._apply()
        client = find_machine(self._client, self._options, "pod/client")
        service = self._client.get(SERVICES, "default", "web")
        address, port = service["spec"]["clusterIP"], service["spec"]["ports"][0]["port"]
        self._many_connections(client, address, port)
        self._one_connection(client, address, port)
        self._from_outside()
        self._scale_down(client, address, port)

    def _apply(self) -> None:
        _title(f"kubectl would say: apply -f {_MANIFEST.name}")
        for applied in apply(self._client, load([str(_MANIFEST)])):
            _say(str(applied))
        _wait("the pods are ready", lambda: self._ready_replicas() == 3 and all(map(_is_ready, self._pods())))
        for pod in self._pods():
            _say(f"pod {pod['metadata']['name']:<22} {pod['status']['podIP']:<12} on {pod['spec']['nodeName']}")

    def _pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.request("GET", path_of(PODS, "default"))["items"]
        return found

    def _ready_replicas(self) -> int:
        status = self._client.get(DEPLOYMENTS, "default", "web").get("status", {})
        return int(status.get("readyReplicas", 0))

    def _many_connections(self, client: Namespace, address: str, port: int) -> None:
        _title(f"{_CONNECTIONS} connections from the pod client to the Service web, {address}:{port}")
        _say(f"No interface anywhere has the address {address}. Yet somebody answers:")
        _wait("the node's rules know all three pods", lambda: len(_ask(client, address, port, 30).pods) == 3)
        outcome = _ask(client, address, port, _CONNECTIONS)
        _bars(outcome.pods)
        share = 1 / len(outcome.pods)
        deviation = math.sqrt(_CONNECTIONS * share * (1 - share))
        _say(f"Each new connection is a throw of a die: about {_CONNECTIONS * share:.0f} for each pod,")
        _say(f"seldom off by more than {2 * deviation:.0f}, hardly ever by more than {3 * deviation:.0f}.")
        _say(_failures(outcome))

    def _one_connection(self, client: Namespace, address: str, port: int) -> None:
        node = self._client.get(PODS, "default", "client")["spec"]["nodeName"]
        machine = Namespace(self._options.name, node)
        _title(f"One of them, in the words of the kernel of {node}, the client's node")
        connection = HeldConnection(client, address, port)
        try:
            pod = connection.ask()
            source, source_port = connection.source
            self._rules(machine, address)
            _say("The map services says which chain serves the address, and the chain's name what it does: pods go to")
            _say(
                "pick-3 as they are; others are marked first, to be masqueraded when they leave. pick-3 draws a number"
            )
            _say("(numgen random mod 3), and the map backends says which pod stands for that number.")
            _say("")
            for entry in tracked_connections(machine, source, source_port):
                there, back = _directions(entry)
                _say(f"connection tracking: it was sent     {there}")
                _say(f"                     the answer comes {back}")
            _say(
                f"So {pod} got it: the destination was rewritten on the way there (DNAT), and the answer's source back."
            )
        finally:
            connection.close()

    def _rules(self, machine: Namespace, address: str) -> None:
        """What the first packet meets, in the order in which it does."""
        chains: list[str] = []
        for _, element in map_elements(machine, address, ["services"]):
            _say(f"map services:  {element}")
            chains.append(element.rpartition("goto ")[2])
        for chain in chains:  # it grows while we go
            for rule in chain_rules(machine, chain):
                _say(f"chain {chain}:  {rule}")
                target = rule.rpartition("goto ")[2]
                if target != rule and target not in chains:
                    chains.append(target)
        for _, element in map_elements(machine, address, ["backends"]):
            _say(f"map backends:  {element}")

    def _from_outside(self) -> None:
        node_port = self._client.get(SERVICES, "default", "web-nodeport")["spec"]["ports"][0]["nodePort"]
        outside = find_machine(self._client, self._options, "outside")
        address = next(host.addresses[0] for host in self._options.topology().hosts if host.forwards)
        _title(f"From outside the cluster, by the NodePort: {address}:{node_port}")
        outcome = _ask(outside, address, node_port, 30)
        _bars(outcome.pods)
        seen = ", ".join(sorted(outcome.peers))
        _say(f"The pods saw {seen} as their client: the node masquerades, so that answers come back through it.")

    def _scale_down(self, client: Namespace, address: str, port: int) -> None:
        _title("Scaled down to one pod")
        body = {"spec": {"replicas": 1}}
        path = path_of(DEPLOYMENTS, "default", "web")
        self._client.request("PATCH", path, body=body, content_type=MERGE_PATCH)
        took = _wait("traffic follows", lambda: len(_ask(client, address, port, 30).pods) == 1)
        outcome = _ask(client, address, port, 100)
        _bars(outcome.pods)
        _say(f"Traffic followed after {took:.1f} s. {_failures(outcome)}")


def _ask(machine: Namespace, address: str, port: int, count: int) -> Outcome:
    return run_probe(machine, Probe(address, port, count=count))


def _failures(outcome: Outcome) -> str:
    if not outcome.errors:
        return "None failed."
    return f"{len(outcome.errors)} failed: {', '.join(f'{n} {kind}' for kind, n in Counter(outcome.errors).items())}."


def _directions(entry: str) -> tuple[str, str]:
    """Both directions of a line of `conntrack -L`, as ``source:port → destination:port``."""
    fields = [word.partition("=") for word in entry.split() if "=" in word]
    values = {name: [v for n, _, v in fields if n == name] for name in ("src", "dst", "sport", "dport")}
    ways = list(zip(values["src"], values["sport"], values["dst"], values["dport"], strict=True))
    there, back = (f"{source}:{sport} → {target}:{dport}" for source, sport, target, dport in ways[:2])
    return there, back


def _bars(counts: Counter[str]) -> None:
    most = max(counts.values(), default=1)
    for pod, count in sorted(counts.items()):
        _say(f"{pod:<22} {count:>4}  {'█' * round(_BAR * count / most)}")


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _wait(what: str, condition: Callable[[], bool]) -> float:
    """Seconds until it holds. LabError if it takes too long."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > _PATIENCE:
            raise LabError(f"waited {_PATIENCE:.0f} s, and it is still not so that {what}")
        time.sleep(0.05)
    return time.monotonic() - started


def _title(text: str) -> None:
    print(f"\n=== {text}", flush=True)


def _say(text: str) -> None:
    print(f"  {text}".rstrip(), flush=True)
