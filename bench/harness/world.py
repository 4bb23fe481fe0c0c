"""The machines of one contender: a client, a node, and backends behind the node.

    client --- node --+-- backend 1
                      +-- ...
                      +-- backend 4

Every contender has a world of its own, with the same addresses in it, so all of them stand ready at the same time and
can be measured in turns. Work is kept apart by processor: the client has one, and the node with the backends another
(or, from three on, the backends one of theirs). What arrives at an interface is handled by the processor of the
machine that it arrives at (RPS): otherwise a virtual cable would let the sender's processor do the node's work, and
sending would slow the node down.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from bench.harness import cluster
from bench.harness.api_server import PORT
from bench.harness.host import Host, NamespaceHost
from lab.network.namespace import Namespace
from lab.network.network import Network, pod_interface
from lab.network.topology import Host as Machine
from lab.network.topology import Pod, Topology

INTERFACE = "eth0"  #: of the client


@dataclass(frozen=True)
class World:
    """Machines that are there, and what the client has to know."""

    client: Host
    node: Host
    backends: Sequence[Host]
    gateway: str  #: hardware address of the node, seen from the client
    node_processors: Sequence[int]  #: of the node's machine; what the node (and the backends, if there) run on
    listener: socket.socket | None = None  #: where the API server is asked from the node, if it can listen there itself


class Site(Protocol):
    """Where worlds are made."""

    @property
    def described(self) -> Mapping[str, str]:
        """What a report must tell of it, beside the machine that the harness runs on."""

    def world(self, lab: str) -> AbstractContextManager[World]:
        """A world, whose namespaces have names that begin with `lab`."""

    def reaching(self, port: int) -> AbstractContextManager[None]:
        """Meanwhile every node reaches the API server, which listens at 127.0.0.1 here, too."""

    def close(self) -> None:
        """Nothing more is made."""


class Here:
    """Worlds of network namespaces of this machine."""

    described: Mapping[str, str] = {}

    def world(self, lab: str) -> AbstractContextManager[World]:
        return namespaces(lab)

    def reaching(self, port: int) -> AbstractContextManager[None]:
        return nullcontext()  # each world has a socket for it

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Processors:
    client: int
    node: int
    backends: int


def share_out(count: int) -> Processors:
    """Who runs where on a machine with so many processors."""
    return Processors(0, min(1, count - 1), min(2, count - 1))


@contextmanager
def namespaces(lab: str) -> Iterator[World]:
    """A world of network namespaces. It ends with the context."""
    processors = share_out(os.cpu_count() or 1)
    backends = [f"b{number + 1}" for number in range(len(cluster.BACKENDS))]
    pods = [Pod("c1", "n1", (cluster.CLIENT,))]
    pods += [Pod(name, "n1", (address,)) for name, address in zip(backends, cluster.BACKENDS, strict=True)]
    node = Machine("n1", (cluster.NODE_ADDRESS,), (cluster.POD_CIDR,), forwards=True)
    topology = Topology((node,), tuple(pods), segment_cidrs=("192.0.2.0/24",))
    with ExitStack() as stack:
        network = Network(lab, topology).create()
        stack.callback(network.delete)
        listener = stack.enter_context(network["n1"].socket())
        listener.bind(("127.0.0.1", PORT))
        listener.listen()
        world = World(
            client=NamespaceHost(network["c1"], str(processors.client)),
            node=NamespaceHost(network["n1"], str(processors.node)),
            backends=[NamespaceHost(network[name], str(processors.backends)) for name in backends],
            gateway=_hardware_address(network["n1"], pod_interface("c1")),
            node_processors=sorted({processors.node, processors.backends}),
            listener=listener,
        )
        network["c1"].set_parameters({"net/ipv4/ip_local_port_range": "10000 65000"})
        _steer(world.client, INTERFACE, processors.client)
        for pod in pods:
            _steer(world.node, pod_interface(pod.name), processors.node)
        for backend in world.backends:
            _steer(backend, INTERFACE, processors.backends)
        yield world


def _steer(host: Host, interface: str, processor: int) -> None:
    """Let this processor handle what arrives at an interface (Documentation/networking/scaling.rst, RPS)."""
    host.run(["sh", "-c", f"echo {1 << processor:x} > /sys/class/net/{interface}/queues/rx-0/rps_cpus"])


def _hardware_address(machine: Namespace, interface: str) -> str:
    return str(machine.run(["ip", "-br", "link", "show", interface]).stdout.split()[2])
