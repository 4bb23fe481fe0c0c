"""Ways in: node ports, external IPs and load-balancer addresses, and who may use them."""

from __future__ import annotations

from typing import Any

from conformance.setting import GATEWAY_ADDRESS, SECONDARY_ADDRESS
from conformance.words import (
    BOTH,
    CLUSTER_IP,
    CLUSTER_IP6,
    DNS,
    EXTERNAL_IP,
    HTTP,
    LOCAL_OUTSIDE,
    N1,
    N1_6,
    VIP,
    VIP6,
    VIP_2,
    Json,
    ask,
    case,
    dns,
    draining,
    fails,
    health,
    holds,
    http,
    piece,
    reaches,
    service,
    step,
    still_holds,
)


def node_ports() -> list[Json]:
    both = (service(http(30080), dns(30053)), piece("b1", "b3"))
    everywhere = {"node_port_addresses": ["0.0.0.0/0", "::/0"]}
    only_the_second = {"node_port_addresses": [f"{SECONDARY_ADDRESS}/32"]}
    six = (service(http(30080), clusterIPs=[CLUSTER_IP6]), piece("b1", "b3", ipv6=True))
    return [
        case("node-port-primary-address-only", step(*both, probes=[
            reaches(ask("x1", N1, 30080), "b1", "b3", seen_as="n1"),
            fails(ask("x1", SECONDARY_ADDRESS, 30080), "refused"),
            fails(ask("x1", SECONDARY_ADDRESS, 30053, "UDP"), "refused"),
            fails(ask("n1", SECONDARY_ADDRESS, 30080), "refused"),
            fails(ask("n1", "127.0.0.1", 30080), "refused"),
        ]), options={"node_port_addresses": ["primary"]}),
        case("node-port-all-addresses", step(*both, probes=[
            reaches(ask("x1", N1, 30080), "b1", "b3", seen_as="n1"),
            reaches(ask("x1", SECONDARY_ADDRESS, 30080), "b1", "b3", seen_as="n1"),
            reaches(ask("x1", SECONDARY_ADDRESS, 30053, "UDP"), "b1", "b3", seen_as="n1"),
            reaches(ask("n1", SECONDARY_ADDRESS, 30080), "b1", "b3", seen_as="n1"),
            reaches(ask("c1", GATEWAY_ADDRESS, 30080), "b1", "b3", seen_as="n1"),
            fails(ask("n1", "127.0.0.1", 30080), "refused"),
            fails(ask("x1", N1, 30081), "refused"),
        ]), options=everywhere),
        case("node-port-restricted-addresses", step(*both, probes=[
            reaches(ask("x1", SECONDARY_ADDRESS, 30080), "b1", "b3", seen_as="n1"),
            fails(ask("x1", N1, 30080), "refused"),
            fails(ask("c1", N1, 30053, "UDP"), "refused"),
        ]), options=only_the_second),
        case("node-port-ipv6", step(*six, probes=[
            reaches(ask("x1", N1_6, 30080), "b1", "b3", seen_as="n1"),
            reaches(ask("c1", N1_6, 30080), "b1", "b3", seen_as="n1"),
            reaches(ask("n1", N1_6, 30080), "b1", "b3", seen_as="n1"),
            fails(ask("n1", "::1", 30080), "refused"),
            fails(ask("x1", N1, 30080), "refused"),
        ])),
        case("node-port-ipv6-all-addresses-when-only-ipv4-is-restricted", step(*six, probes=[
            reaches(ask("x1", N1_6, 30080), "b1", "b3", seen_as="n1"),
            fails(ask("n1", "::1", 30080), "refused"),
        ]), options=only_the_second),
        case("node-port-same-number-tcp-and-udp", step(
            service({**HTTP, "nodePort": 30080}, {**DNS, "nodePort": 30080}),
            piece("b1", ports=["http"], name="tcp"), piece("b3", ports=["dns"], name="udp"),
            probes=[
                reaches(ask("x1", N1, 30080, "TCP"), "b1", seen_as="n1"),
                reaches(ask("x1", N1, 30080, "UDP"), "b3", seen_as="n1"),
            ])),
        case("node-port-no-endpoints", step(both[0], probes=[
            fails(ask(client, N1, number, protocol), "refused")
            for client in ("x1", "c1", "n1") for number, protocol in ((30080, "TCP"), (30053, "UDP"))
        ])),
        case("node-port-etp-local-no-local-endpoints", step(
            service(http(30080), dns(30053), **LOCAL_OUTSIDE), piece("b3", "b4"),
            probes=[
                fails(ask("x1", N1, 30080), "timeout"),
                fails(ask("x1", N1, 30053, "UDP"), "timeout"),
                reaches(ask("c1", N1, 30080), "b3", "b4", seen_as="c1"),
                reaches(ask("n1", N1, 30080), "b3", "b4", seen_as="n1"),
                reaches(ask("x1", CLUSTER_IP), "b3", "b4", seen_as="n1"),
            ])),
        case("node-port-etp-local-ipv6", step(
            service(http(30080), clusterIPs=[CLUSTER_IP6], **LOCAL_OUTSIDE), piece("b1", "b3", ipv6=True),
            probes=[
                reaches(ask("x1", N1_6, 30080), "b1", seen_as="x1"),
                reaches(ask("c1", N1_6, 30080), "b1", "b3", seen_as="c1"),
                reaches(ask("n1", N1_6, 30080), "b1", "b3", seen_as="n1"),
            ])),
        case("node-port-hairpin", step(service(http(30080)), piece("b1"), probes=[
            reaches(ask("b1", N1, 30080), "b1", seen_as="n1"),
        ]), step(service(http(30080), **LOCAL_OUTSIDE), probes=[
            reaches(ask("b1", N1, 30080), "b1", seen_as="n1"),
        ])),
    ]  # fmt: skip


def external_addresses() -> list[Json]:
    return [
        case("external-ip-etp-local", step(
            service(externalIPs=[EXTERNAL_IP], **LOCAL_OUTSIDE), piece("b1", "b3"),
            probes=[
                reaches(ask("x1", EXTERNAL_IP), "b1", seen_as="x1"),
                reaches(ask("c1", EXTERNAL_IP), "b1", "b3", seen_as="c1"),
                reaches(ask("n1", EXTERNAL_IP), "b1", "b3", seen_as="n1"),
            ])),
        case("external-ip-no-endpoints", step(service(HTTP, DNS, externalIPs=[EXTERNAL_IP]), probes=[
            fails(ask("x1", EXTERNAL_IP), "refused"),
            fails(ask("c1", EXTERNAL_IP, 53, "UDP"), "refused"),
            fails(ask("n1", EXTERNAL_IP), "refused"),
            fails(ask("n1", EXTERNAL_IP, 53, "UDP"), "EPERM"),
        ])),
        case("external-ip-that-is-the-node-s-own", step(
            service(HTTP, DNS, externalIPs=[N1]), piece("b1", "b3"),
            probes=[
                reaches(ask("x1", N1), "b1", "b3", seen_as="n1"),
                reaches(ask("n1", N1), "b1", "b3", seen_as="n1"),
                reaches(ask("x1", N1, 53, "UDP"), "b1", "b3", seen_as="n1"),
                fails(ask("x1", N1, 81), "refused"),
            ]),
            step(piece(), probes=[
                fails(ask("x1", N1), "refused"),
                fails(ask("x1", N1, 53, "UDP"), "refused"),
                fails(ask("n1", N1), "refused"),
                fails(ask("n1", N1, 53, "UDP"), "EPERM", iptables="refused"),
            ])),
        case("load-balancer-etp-local-no-local-endpoints", step(
            service(http(30080), vips=[VIP], **LOCAL_OUTSIDE), piece("b3"),
            probes=[
                fails(ask("x1", VIP), "timeout"),
                fails(ask("x1", N1, 30080), "timeout"),
                reaches(ask("c1", VIP), "b3", seen_as="c1"),
                reaches(ask("n1", VIP), "b3", seen_as="n1"),
            ])),
        case("load-balancer-etp-local-hairpin", step(service(vips=[VIP], **LOCAL_OUTSIDE), piece("b1"), probes=[
            reaches(ask("b1", VIP), "b1", seen_as="n1"),
        ])),
        case("load-balancer-both-families", step(
            service(clusterIPs=BOTH, vips=[VIP, VIP6]), piece("b1"), piece("b4", ipv6=True),
            probes=[
                reaches(ask("x1", VIP), "b1", seen_as="n1"),
                reaches(ask("x1", VIP6), "b4", seen_as="n1"),
                reaches(ask("c1", VIP6), "b4", seen_as="n1"),
            ])),
        case("load-balancer-ip-mode-vip", step(
            service(vips=[{"ip": VIP, "ipMode": "VIP"}, {"ip": VIP_2, "ipMode": "Proxy"}, {"hostname": "lb.example"}]),
            piece("b1"),
            probes=[reaches(ask("x1", VIP), "b1", seen_as="n1"), fails(ask("x1", VIP_2), "timeout")])),
        case("load-balancer-address-changes", step(service(vips=[VIP]), piece("b1"), probes=[
            reaches(ask("x1", VIP), "b1", seen_as="n1"),
        ]), step(service(vips=[VIP_2]), probes=[
            fails(ask("x1", VIP), "timeout"),
            reaches(ask("x1", VIP_2), "b1", seen_as="n1"),
        ])),
    ]  # fmt: skip


def source_ranges() -> list[Json]:
    def limited(*ranges: str, vips: tuple[str, ...] = (VIP,), **more: Any) -> Json:
        return service(HTTP, DNS, vips=vips, loadBalancerSourceRanges=list(ranges), **more)

    return [
        case("source-ranges-with-the-node-inside", step(limited("192.0.2.0/28"), piece("b1", "b3"), probes=[
            reaches(ask("n1", VIP), "b1", "b3", seen_as="n1"),
            fails(ask("x1", VIP), "timeout"),
            fails(ask("c1", VIP), "timeout"),
            fails(ask("x1", VIP, 53, "UDP"), "timeout"),
            reaches(ask("c1", CLUSTER_IP), "b1", "b3", seen_as="c1"),
        ])),
        case("source-ranges-with-the-node-outside", step(limited("192.0.2.50/32"), piece("b1", "b3"), probes=[
            fails(ask("n1", VIP), "timeout"),
            fails(ask("n1", VIP, 53, "UDP"), "EPERM"),
            reaches(ask("x1", VIP, 53, "UDP"), "b1", "b3", seen_as="n1"),
        ])),
        # A node that has the address of the load balancer talks to it from that very address.
        case("source-ranges-from-the-load-balancer-address-itself", step(
            limited("192.0.2.1/32", vips=(SECONDARY_ADDRESS,)), piece("b1", "b3"),
            probes=[
                reaches(ask("n1", SECONDARY_ADDRESS, saddr=SECONDARY_ADDRESS), "b1", "b3", seen_as="n1"),
                reaches(ask("n1", SECONDARY_ADDRESS, saddr=N1), "b1", "b3", seen_as="n1"),
                fails(ask("x1", SECONDARY_ADDRESS), "timeout"),
            ]),
            step(limited("192.0.2.50/32", vips=(SECONDARY_ADDRESS,)), probes=[
                fails(ask("n1", SECONDARY_ADDRESS, saddr=SECONDARY_ADDRESS), "timeout"),
                reaches(ask("x1", SECONDARY_ADDRESS), "b1", "b3", seen_as="n1"),
            ])),
        case("source-ranges-two-addresses", step(
            limited("192.0.2.48/28", "203.0.113.0/24", vips=(VIP, VIP_2)), piece("b1", "b3"),
            probes=[
                reaches(ask("x1", VIP), "b1", "b3", seen_as="n1"),
                reaches(ask("x1", VIP_2), "b1", "b3", seen_as="n1"),
                fails(ask("c1", VIP_2), "timeout"),
            ])),
        case("source-ranges-that-hold-everything", step(limited("203.0.113.0/24", "0.0.0.0/0"), piece("b1"), probes=[
            reaches(ask("x1", VIP), "b1", seen_as="n1"),
        ])),
        case("source-ranges-ipv6", step(
            limited("fd00:192::32/128", vips=(VIP6,), clusterIPs=[CLUSTER_IP6]), piece("b1", "b3", ipv6=True),
            probes=[reaches(ask("x1", VIP6), "b1", "b3", seen_as="n1"), fails(ask("c1", VIP6), "timeout")])),
        case("source-ranges-etp-local", step(
            limited("192.0.2.50/32", "10.244.1.10/32", **LOCAL_OUTSIDE), piece("b1", "b3"),
            probes=[
                reaches(ask("x1", VIP), "b1", seen_as="x1"),
                reaches(ask("c1", VIP), "b1", "b3", seen_as="c1"),
                fails(ask("c2", VIP), "timeout"),
            ])),
        case("source-ranges-change", step(limited("203.0.113.0/24"), piece("b1"), probes=[
            fails(ask("x1", VIP), "timeout"),
        ]), step(limited("203.0.113.0/24", "192.0.2.0/24"), probes=[
            reaches(ask("x1", VIP), "b1", seen_as="n1"),
        ]), step(limited("192.0.2.50/31", "198.18.0.0/15"), probes=[
            reaches(ask("x1", VIP), "b1", seen_as="n1"),
            fails(ask("c1", VIP), "timeout"),
        ]), step(service(HTTP, DNS, vips=[VIP]), probes=[
            reaches(ask("c1", VIP), "b1", seen_as="n1"),
        ])),
        case("source-ranges-do-not-touch-open-connections", step(service(vips=[VIP]), piece("b1"), probes=[
            holds("x1", VIP, 80, "b1", seen_as=N1),
        ]), step(limited("203.0.113.0/24"), probes=[still_holds("b1", seen_as=N1)])),
    ]  # fmt: skip


def health_checks() -> list[Json]:
    """What a load balancer is told when it asks a node at the Service's healthCheckNodePort."""

    def balanced(number: int, **more: Any) -> Json:
        return service(http(30080), vips=[VIP], healthCheckNodePort=number, **{**LOCAL_OUTSIDE, **more})

    return [
        case("health-check-counts-local-ready-addresses", step(
            balanced(32000), piece("b1", "b2", "b3", name="one"), piece("b2", "b4", name="two", targets={"http": 8081}),
            probes=[health("x1", N1, 32000, 200, 2), fails(ask("x1", N1, 32001), "refused")]),
            step(piece("b3", name="one"), piece(name="two"), probes=[health("x1", N1, 32000, 503)]),
            step(piece("b1", name="one"), probes=[health("x1", N1, 32000, 200, 1)])),
        # The load balancer shall move on, and yet what still comes is served.
        case("health-check-fails-when-only-terminating-endpoints-are-left", step(
            balanced(32000), piece(draining("b1"), "b3"),
            probes=[health("x1", N1, 32000, 503), reaches(ask("x1", VIP), "b1", seen_as="x1")])),
        case("health-check-port-moves-and-goes", step(balanced(32000), piece("b1"), probes=[
            health("x1", N1, 32000, 200, 1),
        ]), step(balanced(32001), probes=[
            health("x1", N1, 32000, None),
            health("x1", N1, 32001, 200, 1),
        ]), step(balanced(32001, externalTrafficPolicy="Cluster"), probes=[
            health("x1", N1, 32001, None),
        ]), step(balanced(32001), probes=[
            health("x1", N1, 32001, 200, 1),
        ]), step(delete=["services/a"], probes=[
            health("x1", N1, 32001, None),
        ])),
    ]  # fmt: skip
