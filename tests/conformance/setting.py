"""The network that every case happens in, as the recorded cases had it.

Four hosts on one segment: n1, the node under test; n2, a router with pods; x1, a client outside, whose way to anything
leads through n1; cp, where n1's default route ends and nobody answers. The pods are behind n1 and n2. Every pod
answers with its name and whom it saw.
"""

from __future__ import annotations

from controller.objects import Metadata, Node, NodeAddress, NodeSpec, NodeStatus, ServiceCIDR, ServiceCIDRSpec
from dataplane.table import Family
from lab.network.topology import Host, Pod, Topology

HOSTS = (
    Host("n1", ("192.0.2.1", "fd00:192::1"), ("10.244.1.0/24", "fd00:244:1::/64"), gateway="cp", forwards=True),
    Host("n2", ("192.0.2.2", "fd00:192::2"), ("10.244.2.0/24", "fd00:244:2::/64"), gateway="cp", forwards=True),
    Host("x1", ("192.0.2.50", "fd00:192::32"), gateway="n1"),
    Host("cp", ("192.0.2.10", "fd00:192::a")),
)
PODS = (
    Pod("c1", "n1", ("10.244.1.10", "fd00:244:1::a")),
    Pod("c2", "n1", ("10.244.1.11", "fd00:244:1::b")),
    Pod("b1", "n1", ("10.244.1.21", "fd00:244:1::15")),
    Pod("b2", "n1", ("10.244.1.22", "fd00:244:1::16")),
    Pod("b3", "n2", ("10.244.2.23", "fd00:244:2::17")),
    Pod("b4", "n2", ("10.244.2.24", "fd00:244:2::18")),
)
TOPOLOGY = Topology(HOSTS, PODS)

POD_PORTS = (8080, 8081, 5353)  #: where every pod answers, over TCP and UDP
HOST_PORTS = (9090,)  #: where a pod with hostNetwork answers on each node: it is called like the node
SERVERS = {**{pod.name: POD_PORTS for pod in PODS}, "n1": HOST_PORTS, "n2": HOST_PORTS}
NODE_OF = {pod.name: pod.node for pod in PODS}
ADDRESSES = {machine.name: machine.addresses for machine in (*HOSTS, *PODS)}
NAMES = {address: name for name, addresses in ADDRESSES.items() for address in addresses}

SECONDARY_ADDRESS = "192.0.2.101"  #: n1 has it besides, but Node.status.addresses does not list it
GATEWAY_ADDRESS = "169.254.1.1"  #: what pods know n1 as
INTERFACE_ADDRESSES = (*ADDRESSES["n1"], SECONDARY_ADDRESS, GATEWAY_ADDRESS, "127.0.0.1", "::1")

CLUSTER_CIDRS = ("10.244.0.0/16", "fd00:244::/32")
SERVICE_CIDRS = ServiceCIDR(Metadata(name="kubernetes"), ServiceCIDRSpec(("10.96.0.0/12", "fd00:10:96::/112")))


def address_of(machine: str, family: Family) -> str:
    return next(address for address in ADDRESSES[machine] if Family.of(address) is family)


def node_object(zone: str | None) -> Node:
    """What the API server knows of n1."""
    n1 = HOSTS[0]
    return Node(
        Metadata(name=n1.name, labels={"topology.kubernetes.io/zone": zone} if zone is not None else {}),
        NodeSpec(pod_cidrs=n1.pod_cidrs),
        NodeStatus(tuple(NodeAddress("InternalIP", address) for address in n1.addresses)),
    )
