"""A node n1 with three pods whose packets go through AF_XDP sockets and the engine: c1 asks, b1 and b2 serve.

default/web:http    10.96.0.10:80 and fd00:10:96::10:80, TCP and UDP → port 8080 of b1 and b2
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dataplane.netlink.addresses import local_addresses
from dataplane.table import (
    Backend,
    DetectLocal,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
)
from dataplane.userspace.engine import Engine
from dataplane.userspace.image import Host
from dataplane.userspace.limits import ALL_ANSWERS
from dataplane.userspace.xdp.port import XdpPort
from lab.network import topology
from lab.network.namespace import Namespace
from lab.network.network import Network
from lab.network.topology import Pod
from lab.pod.processes import Processes

ADDRESSES = {
    Family.IPV4: {"n1": "192.0.2.1", "c1": "10.244.1.10", "b1": "10.244.1.21", "b2": "10.244.1.22"},
    Family.IPV6: {"n1": "fd00:192::1", "c1": "fd00:244:1::a", "b1": "fd00:244:1::15", "b2": "fd00:244:1::16"},
}
PODS = DetectLocal(interface="pod-", prefix=True)
SERVICE = {Family.IPV4: "10.96.0.10", Family.IPV6: "fd00:10:96::10"}

TOPOLOGY = topology.Topology(
    (
        topology.Host(
            "n1",
            tuple(names["n1"] for names in ADDRESSES.values()),
            ("10.244.1.0/24", "fd00:244:1::/64"),
            forwards=True,
        ),
    ),
    tuple(Pod(name, "n1", tuple(names[name] for names in ADDRESSES.values())) for name in ("c1", "b1", "b2")),
)


def table(*backends: str, port: int = 8080) -> ForwardingTable:
    """A Service at port 80, in front of this port of these pods."""

    def frontend(family: Family, protocol: Protocol) -> Frontend:
        names = ADDRESSES[family]
        verdict = Forward(Pool(tuple(Backend(names[name], port, local=True) for name in backends)), masquerade=False)
        key = FrontendKey(SERVICE[family], protocol, 80)
        serving = frozenset(b.endpoint for b in verdict.pool.backends) if protocol is Protocol.UDP else None
        return Frontend(key, "default/web:http", verdict, verdict, verdict, serving=serving)

    frontends = [frontend(family, protocol) for family in Family for protocol in (Protocol.TCP, Protocol.UDP)]
    return ForwardingTable(
        {f.key: f for f in frontends},
        cluster_ips=frozenset(SERVICE.values()),
        service_cidrs=frozenset({"10.96.0.0/12"}),
        detect_local=DetectLocal(("10.244.0.0/16", "fd00:244::/32")),
    )


class Node:
    """n1 with AF_XDP in force. Calls happen in its namespace."""

    def __init__(self, machine: Namespace, **options: Any) -> None:
        self._machine = machine
        addresses = machine.call(local_addresses)
        self.host = Host(addresses, {family: names["n1"] for family, names in ADDRESSES.items()})
        self.engine = Engine(self.host, answers=ALL_ANSWERS)
        self.port: XdpPort = machine.call(lambda: XdpPort(lambda link: link.kind == "veth", PODS, **options))
        self.apply(table("b1", "b2"))
        self.engine.start([self.port])
        machine.call(self.port.begin)

    def apply(self, new: ForwardingTable) -> None:
        self.port.steer(new, self.host)
        self.engine.apply(new)

    def close(self) -> None:
        self._machine.call(self.engine.close)

    @property
    def counted(self) -> dict[str, int]:
        return self.port.counted()


@contextlib.contextmanager
def pods(lab: str, logs: Path) -> Iterator[Network]:
    """The network, with a server in each of b1 and b2."""
    made = Network(lab, TOPOLOGY).create()
    try:
        with Processes() as processes:
            for pod in ("b1", "b2"):
                processes.start_pod(
                    pod, made[pod], log=str(logs / pod), node="n1", tcp_ports=(8080,), udp_ports=(8080,)
                )
            processes.wait_listening(["b1", "b2"], timeout=60)
            yield made
    finally:
        made.delete()
