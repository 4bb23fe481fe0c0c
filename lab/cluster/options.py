"""What a lab can be told when it starts."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

import msgspec

from dataplane.errors import InputError
from lab.network.namespace import check_lab_name
from lab.network.topology import CLUSTER_CIDRS, SERVICE_CIDRS, Topology, cluster_topology

FAMILIES = {"ipv4": (4,), "ipv6": (6,), "dual": (4, 6)}
NO_PROXY = "none"  #: the proxy mode that starts no agent, for lessons about what is missing then


class LabOptions(msgspec.Struct, frozen=True):
    name: str = "lab"
    nodes: int = 2
    cluster_cidrs: tuple[str, ...] = CLUSTER_CIDRS  #: one per IP version that the cluster has; the first is preferred
    service_cidrs: tuple[str, ...] = SERVICE_CIDRS  #: the same versions in the same order
    proxy_mode: str = "nftables"
    agent: tuple[str, ...] = ()  #: command that takes kube-proxy's flags, run on every node

    def topology(self) -> Topology:
        return cluster_topology(self.nodes, cluster_cidrs=self.cluster_cidrs)


def lab_options(
    *,
    name: str,
    nodes: int,
    family: str,
    proxy_mode: str,
    agent: Sequence[str],
    cluster_cidrs: Sequence[str] = (),
    service_cidrs: Sequence[str] = (),
) -> LabOptions:
    """Options that fit together, with defaults for CIDRs that are not given. InputError if they do not."""
    if family not in FAMILIES:
        raise InputError(f"--ip-family {family!r}: expected {', '.join(FAMILIES)}")
    options = LabOptions(
        name=check_lab_name(name),
        nodes=nodes,
        cluster_cidrs=_of_family("--cluster-cidr", cluster_cidrs or CLUSTER_CIDRS, family, bool(cluster_cidrs)),
        service_cidrs=_of_family("--service-cidr", service_cidrs or SERVICE_CIDRS, family, bool(service_cidrs)),
        proxy_mode=proxy_mode,
        agent=tuple(agent),
    )
    topology = options.topology()
    taken = [*options.cluster_cidrs, *topology.segment_cidrs]
    for service in map(ip_network, options.service_cidrs):
        for other in map(ip_network, taken):
            if service.version == other.version and service.overlaps(other):
                raise InputError(f"--service-cidr {service}: overlaps {other}, which the lab's pods or hosts use")
    return options


def _of_family(flag: str, cidrs: Sequence[str], family: str, all_of_them: bool) -> tuple[str, ...]:
    """One CIDR for each IP version of the family, in the family's order."""
    found: dict[int, str] = {}
    for cidr in cidrs:
        try:
            network = ip_network(cidr)
        except ValueError as error:
            raise InputError(f"{flag} {cidr!r}: {error}") from None
        if network.version in found:
            raise InputError(f"{flag} {','.join(cidrs)}: two networks of IPv{network.version}, expected one")
        found[network.version] = str(network)
    versions = FAMILIES[family]
    missing = [f"IPv{version}" for version in versions if version not in found]
    unused = [cidr for version, cidr in found.items() if version not in versions]
    if missing:
        raise InputError(f"{flag} {','.join(cidrs)}: no {missing[0]} network in it, which --ip-family {family} needs")
    if unused and all_of_them:
        raise InputError(f"{flag} {unused[0]}: not of --ip-family {family}")
    return tuple(found[version] for version in versions)
