"""Machines for the tests of the lab: made for one test module, and gone after it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.network.network import Network
from lab.network.topology import Pod, Topology, cluster_topology
from lab.pod.processes import Processes
from patience import PATIENCE


@pytest.fixture(scope="session")
def lab_name() -> str:
    """A lab name of this test run only: other runs and real labs on this machine are not disturbed."""
    return f"test-{os.getpid()}"


def two_nodes_with_pods() -> Topology:
    def pod(name: str, node: str, number: int) -> Pod:
        return Pod(name, node, (f"10.244.{node[1]}.{number}", f"fd00:244:{node[1]}::{number:x}"))

    return replace(cluster_topology(2), pods=(pod("c1", "n1", 10), pod("b1", "n1", 21), pod("b3", "n2", 23)))


@pytest.fixture(scope="module")
def network(lab_name: str) -> Iterator[Network]:
    """Two nodes, the control plane, the outside client; pods c1 and b1 on n1, b3 on n2."""
    network = Network(f"{lab_name}-net", two_nodes_with_pods()).create()
    yield network
    network.delete()


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes() as processes:
        yield processes


@pytest.fixture(scope="module")
def servers(network: Network, processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in server runs in all pods of `network`. Returns the folder of the logs."""
    logs = tmp_path_factory.mktemp("logs")
    pods = network.topology.pods
    for pod in pods:
        processes.start_pod(pod.name, network[pod.name], log=str(logs / pod.name), node=pod.node)
    processes.wait_listening([pod.name for pod in pods], timeout=PATIENCE)
    return logs
