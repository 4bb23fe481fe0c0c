"""`svcplane lab status`: the labs of this machine, and how their nodes are."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from controller.objects import LABEL_ZONE
from lab.api.registry import NODES, PODS, SERVICES
from lab.cluster.client import ApiClient, path_of
from lab.cluster.nodes import PROXY_READY
from lab.cluster.options import NO_PROXY
from lab.cluster.state import StateDirectory, all_labs
from lab.controllers.objects import condition
from svcplane.lab.common import counted, plain_table, print_table
from svcplane.question import addresses_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="", help="of a lab (default: all)")


def run(args: argparse.Namespace) -> int:
    labs = [StateDirectory(args.name)] if args.name else all_labs()
    if not labs:
        print("There is no lab: start one with 'svcplane lab up'.")
    for number, state in enumerate(labs):
        if number:
            print()
        _show(state)
    return 0


def _show(state: StateDirectory) -> None:
    if not state.is_alive and state.exists:
        print(f"Lab {state.lab!r} has crashed: 'svcplane lab down --name {state.lab}' removes what is left of it.")
        return
    running = state.running()
    client = ApiClient(running.api)
    nodes = client.request("GET", path_of(NODES))["items"]
    pods = client.request("GET", path_of(PODS))["items"]
    services = client.request("GET", path_of(SERVICES))["items"]
    print(
        f"Lab {state.lab!r} is {'up' if running.ready else 'starting'}: {counted(len(nodes), 'node')}, "
        f"{counted(len(pods), 'pod')}, {counted(len(services), 'service')}; "
        f"API server at {running.api}, kubeconfig {state.kubeconfig}"
    )
    on_node = Counter(pod["spec"].get("nodeName") for pod in pods)
    table = plain_table()
    for header in ("NODE", "ZONE", "ADDRESS", "PODS", "AGENT"):
        table.add_column(header, no_wrap=header != "AGENT")
    for node in nodes:
        table.add_row(
            node["metadata"]["name"],
            node["metadata"].get("labels", {}).get(LABEL_ZONE, "-"),
            ", ".join(addresses_of(node)) or "-",
            str(on_node[node["metadata"]["name"]]),
            "none" if running.options.proxy_mode == NO_PROXY else _agent(node),
        )
    print_table(table)


def _agent(node: dict[str, Any]) -> str:
    said = condition(node, PROXY_READY)
    if said is None:
        return "unknown"
    return "ready" if said["status"] == "True" else f"not ready: {said['message']}"
