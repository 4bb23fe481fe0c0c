"""A cluster with one Service of each kind, to be written down whole."""

from __future__ import annotations

from dataclasses import replace

from cluster import compiled, joined, piece, port, service, view
from controller.objects import ClientIPConfig, EndpointSlice, Service, SessionAffinityConfig
from dataplane.table import Family, ForwardingTable, HealthCheckPort

EVERYWHERE = view(node_port_addresses=("0.0.0.0", "::"))
HTTP = (("http", 8080),)


#: One Service of each kind, with its slices.
MIXED: tuple[tuple[Service, EndpointSlice], ...] = (
    (
        service("inside", port(80, "http"), cluster_ip="10.96.0.11"),
        piece("inside", "b1", "b3", ports=HTTP),
    ),
    (
        service("only-here", port(80, "http"), cluster_ip="10.96.0.12", internal_traffic_policy="Local"),
        piece("only-here", "b1", "b3", ports=HTTP),
    ),
    (
        service("outside", port(80, "http", node_port=30080), cluster_ip="10.96.0.13", vips=["198.51.100.7"]),
        piece("outside", "b1", "b2", "b3", ports=HTTP),
    ),
    (
        service(
            "kept-address",
            port(80, "http", node_port=30081),
            cluster_ip="10.96.0.14",
            vips=["198.51.100.8"],
            external_ips=("198.51.100.9",),
            external_traffic_policy="Local",
            load_balancer_source_ranges=("192.0.2.0/24", "203.0.113.0/28"),
        ),
        piece("kept-address", "b1", "b3", ports=HTTP),
    ),
    (
        service(
            "remembering",
            port(53, "dns", "UDP"),
            cluster_ip="10.96.0.15",
            session_affinity="ClientIP",
            session_affinity_config=SessionAffinityConfig(ClientIPConfig(600)),
        ),
        piece("remembering", "b1", "b3", ports=(("dns", 5353, "UDP"),)),
    ),
    (
        service("nobody", port(80, "http", node_port=30082), cluster_ip="10.96.0.16"),
        piece("nobody", ports=HTTP),
    ),
    (
        service(
            "elsewhere", port(80, "http", node_port=30083), cluster_ip="10.96.0.17", external_traffic_policy="Local"
        ),
        piece("elsewhere", "b3", ports=HTTP),
    ),
)


def mixed_cluster() -> ForwardingTable:
    table = joined(*(compiled(of, pieces, node=EVERYWHERE) for of, pieces in MIXED))
    return replace(table, health_check_ports=frozenset({HealthCheckPort(Family.IPV4, 32000, "default/kept-address")}))
