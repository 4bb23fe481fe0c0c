"""What a lab's network looks like, as values: hosts on one segment, and pods behind the hosts.

    x1 ---+                       +--- c1   10.244.1.10
          |                +- n1 -+
    cp ---+--- segment ----|      +--- b1   10.244.1.21
        192.0.2.0/24       +- n2 ----- b3   10.244.2.23
        fd00:192::/64

Every host has a route to every other host's pods; what is left goes to the host's `gateway`. A pod has one interface
with nothing but its own address and a default route, and its node a route to that one address: the way of the CNI
plugins that route (Calico, ptp). `lab.network.network` makes it real.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from dataplane.errors import InputError

SEGMENT_CIDRS = ("192.0.2.0/24", "fd00:192::/64")  #: where the hosts are
CLUSTER_CIDRS = ("10.244.0.0/16", "fd00:244::/32")  #: where the pods are
SERVICE_CIDRS = ("10.96.0.0/12", "fd00:10:96::/112")  #: where the cluster IPs are
CONTROL_PLANE = "cp"
OUTSIDE = "x1"
MOST_NODES = 9  #: .1 to .9 of the segment: .10 is the control plane's

_CONTROL_PLANE_NUMBER = 10
_OUTSIDE_NUMBER = 50


@dataclass(frozen=True, slots=True)
class Host:
    """A machine on the segment."""

    name: str
    addresses: tuple[str, ...]  #: at most one of each family, without prefix length
    pod_cidrs: tuple[str, ...] = ()  #: which pods are behind it
    gateway: str | None = None  #: name of the host that its default route goes through
    forwards: bool = False  #: a router: passes on packets that are not for itself, as a node does


@dataclass(frozen=True, slots=True)
class Pod:
    """A machine behind a node."""

    name: str
    node: str  #: name of its Host
    addresses: tuple[str, ...]  #: at most one of each family


@dataclass(frozen=True, slots=True)
class Topology:
    hosts: tuple[Host, ...]
    pods: tuple[Pod, ...] = ()
    segment_cidrs: tuple[str, ...] = SEGMENT_CIDRS

    def host(self, name: str) -> Host:
        """KeyError if there is none of this name."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)


def cluster_topology(
    nodes: int,
    *,
    cluster_cidrs: Sequence[str] = CLUSTER_CIDRS,
    segment_cidrs: Sequence[str] = SEGMENT_CIDRS,
) -> Topology:
    """Nodes n1, n2, ..., the control plane cp and the outside client x1. A family that has no cluster CIDR is absent.

    Raises InputError for a number of nodes or a CIDR that can not be served.
    """
    if not 1 <= nodes <= MOST_NODES:
        raise InputError(f"nodes {nodes}: expected 1 to {MOST_NODES}")
    clusters = tuple(_network(cidr) for cidr in cluster_cidrs)
    versions = {cluster.version for cluster in clusters}
    if not clusters or len(versions) != len(clusters):
        raise InputError(
            f"cluster CIDR {','.join(cluster_cidrs)!r}: expected one IPv4 network, one IPv6 network, or both"
        )
    segments = tuple(cidr for cidr in segment_cidrs if ip_network(cidr).version in versions)

    def on_segment(number: int) -> tuple[str, ...]:
        return tuple(str(ip_network(cidr)[number]) for cidr in segments)

    routers = tuple(
        Host(
            f"n{number}",
            on_segment(number),
            tuple(pod_cidr(cluster, number) for cluster in clusters),
            gateway=CONTROL_PLANE,
            forwards=True,
        )
        for number in range(1, nodes + 1)
    )
    control_plane = Host(CONTROL_PLANE, on_segment(_CONTROL_PLANE_NUMBER))
    outside = Host(OUTSIDE, on_segment(_OUTSIDE_NUMBER), gateway="n1")
    return Topology((*routers, control_plane, outside), segment_cidrs=segments)


def pod_cidr(cluster: IPv4Network | IPv6Network, number: int) -> str:
    """The part of the cluster CIDR that belongs to node `number`: a /24, or a /64 with the number as its third group
    of an IPv6 cluster /32, as kube-controller-manager's IPAM would cut it (from number 1 instead of 0)."""
    length = 24 if cluster.version == 4 else max(48, cluster.prefixlen)
    if cluster.prefixlen > (20 if cluster.version == 4 else 44):
        raise InputError(
            f"cluster CIDR {cluster}: too small, expected at least a /{20 if cluster.version == 4 else 44}"
        )
    step = 1 << (cluster.max_prefixlen - length)
    first = cluster.network_address + number * step
    return f"{first}/{24 if cluster.version == 4 else 64}"


def _network(cidr: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(cidr)
    except ValueError as error:
        raise InputError(f"CIDR {cidr!r}: {error}") from None


def first_of_family(addresses: Sequence[str], version: int) -> str | None:
    """The address of IP version 4 or 6, if there is one."""
    return next((address for address in addresses if ip_address(address).version == version), None)
