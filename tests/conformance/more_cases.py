"""More cases, written from what Kubernetes documents of Services, in the form of the recorded ones.

Sources: Service and EndpointSlice API reference; "Virtual IPs and Service Proxies"; KEP-1669 (terminating endpoints),
KEP-2086 (internalTrafficPolicy), KEP-2433 (topology hints), KEP-3866 (nftables mode: node ports on primary addresses,
wrong ports of a cluster IP rejected, unallocated cluster IPs dropped). Where kube-proxy is known to be weak the better
behaviour is asked for, and the case says so.
"""

from __future__ import annotations

from conformance.cases import Case, load
from conformance.more.entrances import external_addresses, health_checks, node_ports, source_ranges
from conformance.more.memory import affinity, connections, restarts, udp_flows
from conformance.more.objects import cluster_ips, host_network, objects
from conformance.more.policies import masquerading, policies, terminating

GROUPS = (
    node_ports,
    external_addresses,
    source_ranges,
    health_checks,
    policies,
    terminating,
    masquerading,
    affinity,
    udp_flows,
    connections,
    restarts,
    cluster_ips,
    objects,
    host_network,
)


def more_cases() -> tuple[Case, ...]:
    """All of them."""
    return load([each for group in GROUPS for each in group()])
