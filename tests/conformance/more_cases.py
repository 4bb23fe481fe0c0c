"""More cases, written from what Kubernetes documents of Services, in the form of the recorded ones.

Sources: Service and EndpointSlice API reference; "Virtual IPs and Service Proxies"; KEP-1669 (terminating endpoints),
KEP-2086 (internalTrafficPolicy), KEP-2433 (topology hints), KEP-3866 (nftables mode: node ports on primary addresses,
wrong ports of a cluster IP rejected, unallocated cluster IPs dropped). Where kube-proxy is known to be weak the better
behaviour is asked for, and the case says so.
"""

from __future__ import annotations

from typing import Any

from conformance.cases import Case, load
from conformance.setting import GATEWAY_ADDRESS, SECONDARY_ADDRESS
from conformance.words import (
    CLUSTER_IP,
    CLUSTER_IP6,
    DNS,
    EXTERNAL_IP,
    HTTP,
    LOCAL_INSIDE,
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
    echo,
    fails,
    holds,
    http,
    moves,
    piece,
    pod,
    reaches,
    service,
    stays,
    step,
    still_holds,
    stopped,
    unready,
)

ALL_BACKENDS = ("b1", "b2", "b3", "b4")
BOTH = [CLUSTER_IP, CLUSTER_IP6]
STICKY: dict[str, Any] = {"sessionAffinity": "ClientIP"}


def sticky_for(seconds: int) -> dict[str, Any]:
    return {**STICKY, "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}}


def more_cases() -> tuple[Case, ...]:
    """All of them."""
    groups = (node_ports, external_addresses, source_ranges, policies, terminating, masquerading, affinity, udp_flows,
              cluster_ips, objects, connections)  # fmt: skip
    return load([each for group in groups for each in group()])


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
        ])),
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
                fails(ask("n1", N1, 53, "UDP"), "EPERM"),
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


def policies() -> list[Json]:
    return [
        case("itp-and-etp-local", step(
            service(http(30080), **LOCAL_INSIDE, **LOCAL_OUTSIDE), piece("b1", "b2", "b3"),
            probes=[
                reaches(ask("c1", CLUSTER_IP), "b1", "b2", seen_as="c1"),
                reaches(ask("n1", CLUSTER_IP), "b1", "b2", seen_as="n1"),
                reaches(ask("x1", CLUSTER_IP), "b1", "b2", seen_as="n1"),
                reaches(ask("c1", N1, 30080), "b1", "b2", "b3", seen_as="c1"),
                reaches(ask("n1", N1, 30080), "b1", "b2", "b3", seen_as="n1"),
                reaches(ask("x1", N1, 30080), "b1", "b2", seen_as="x1"),
            ])),
        case("itp-local-no-local-endpoints", step(service(HTTP, DNS, **LOCAL_INSIDE), piece("b3"), probes=[
            fails(ask("c1", CLUSTER_IP), "timeout"),
            fails(ask("n1", CLUSTER_IP), "timeout"),
            fails(ask("x1", CLUSTER_IP), "timeout"),
            fails(ask("c1", CLUSTER_IP, 53, "UDP"), "timeout"),
            fails(ask("n1", CLUSTER_IP, 53, "UDP"), "EPERM"),
        ]), step(piece("b1", "b3"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ]), step(piece(), probes=[
            fails(ask("c1", CLUSTER_IP), "refused"),
        ])),
        case("itp-local-ipv6", step(
            service(clusterIPs=[CLUSTER_IP6], **LOCAL_INSIDE), piece("b1", "b3", ipv6=True),
            probes=[
                reaches(ask("c1", CLUSTER_IP6), "b1", seen_as="c1"),
                reaches(ask("x1", CLUSTER_IP6), "b1", seen_as="n1"),
            ])),
        case("etp-local-means-nothing-inside", step(service(**LOCAL_OUTSIDE), piece("b3"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1"),
            reaches(ask("x1", CLUSTER_IP), "b3", seen_as="n1"),
        ])),
        case("etp-changes", step(service(http(30080)), piece("b1", "b3"), probes=[
            reaches(ask("x1", N1, 30080), "b1", "b3", seen_as="n1"),
        ]), step(service(http(30080), **LOCAL_OUTSIDE), probes=[
            reaches(ask("x1", N1, 30080), "b1", seen_as="x1"),
        ]), step(service(http(30080)), probes=[
            reaches(ask("x1", N1, 30080), "b1", "b3", seen_as="n1"),
        ])),
        # Hints narrow what pods get through the short way, never what outsiders get locally.
        case("hints-and-etp-local", step(
            service(vips=[VIP], **LOCAL_OUTSIDE),
            piece(pod("b1", forZones=["zb"]), pod("b3", forZones=["za"])),
            probes=[
                reaches(ask("x1", VIP), "b1", seen_as="x1"),
                reaches(ask("c1", VIP), "b3", seen_as="c1"),
                reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1"),
            ])),
        case("hints-one-missing", step(service(), piece(pod("b1", forZones=["za"]), "b3"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", "b3", seen_as="c1"),
        ])),
        case("node-hints-fall-back-to-zone-hints", step(
            service(), piece(pod("b3", forNodes=["n2"], forZones=["za"]), pod("b4", forNodes=["n2"], forZones=["zb"])),
            probes=[reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1")])),
    ]  # fmt: skip


def terminating() -> list[Json]:
    return [
        case("terminating-falls-back-for-each-list", step(
            service(http(30080), vips=[VIP], **LOCAL_OUTSIDE), piece(draining("b1"), "b3"),
            probes=[
                reaches(ask("x1", VIP), "b1", seen_as="x1"),
                reaches(ask("x1", N1, 30080), "b1", seen_as="x1"),
                reaches(ask("c1", VIP), "b3", seen_as="c1"),
                reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1"),
            ])),
        case("terminating-elsewhere-only", step(
            service(vips=[VIP], **LOCAL_OUTSIDE), piece(draining("b3"), stopped("b1")),
            probes=[fails(ask("x1", VIP), "timeout"), reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1")])),
        case("terminating-itp-local", step(service(**LOCAL_INSIDE), piece(draining("b1"), "b3"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ]), step(piece(stopped("b1"), "b3"), probes=[
            fails(ask("c1", CLUSTER_IP), "timeout"),
        ])),
        case("terminating-etp-cluster", step(
            service(http(30080)), piece(draining("b1"), draining("b3"), stopped("b2"), unready("b4")),
            probes=[
                reaches(ask("x1", N1, 30080), "b1", "b3", seen_as="n1"),
                reaches(ask("c1", CLUSTER_IP), "b1", "b3", seen_as="c1"),
            ])),
        case("terminating-and-ready-at-once", step(
            service(), piece(pod("b1", ready=True, serving=True, terminating=True), draining("b3")),
            probes=[reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1")])),
        case("rolling-restart", step(service(), piece("b1"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ]), step(piece("b1", unready("b3")), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ]), step(piece(draining("b1"), unready("b3")), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ]), step(piece(draining("b1"), "b3"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1"),
        ])),
    ]  # fmt: skip


def masquerading() -> list[Json]:
    def services(**more: Any) -> tuple[Json, Json]:
        # Only local endpoints: an answer from another node would not come back through here without masquerading.
        return service(http(30080), **more), piece("b1", "b2")

    nobody_told: dict[str, Any] = {"cluster_cidrs": []}
    return [
        case("masquerade-all", step(*services(), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", "b2", seen_as="n1"),
            reaches(ask("x1", CLUSTER_IP), "b1", "b2", seen_as="n1"),
            reaches(ask("n1", CLUSTER_IP), "b1", "b2", seen_as="n1"),
        ]), step(*services(**LOCAL_OUTSIDE), probes=[
            reaches(ask("c1", N1, 30080), "b1", "b2", seen_as="c1"),
            reaches(ask("x1", N1, 30080), "b1", "b2", seen_as="x1"),
        ]), options={"masquerade_all": True}),
        case("pods-not-told", step(*services(), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", "b2", seen_as="c1"),
            reaches(ask("x1", CLUSTER_IP), "b1", "b2", seen_as="x1"),
            reaches(ask("c1", N1, 30080), "b1", "b2", seen_as="n1"),
        ]), step(service(http(30080), **LOCAL_OUTSIDE), piece("b1", "b3"), probes=[
            reaches(ask("c1", N1, 30080), "b1", seen_as="c1"),
            reaches(ask("x1", N1, 30080), "b1", seen_as="x1"),
            reaches(ask("n1", N1, 30080), "b1", "b3", seen_as="n1"),
        ]), options=nobody_told),
        case("masquerade-all-with-pods-not-told", step(*services(), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", "b2", seen_as="n1"),
            reaches(ask("x1", CLUSTER_IP), "b1", "b2", seen_as="n1"),
        ]), step(service(http(30080), **LOCAL_OUTSIDE), piece("b1", "b3"), probes=[
            reaches(ask("c1", N1, 30080), "b1", seen_as="c1"),
        ]), options={"masquerade_all": True, **nobody_told}),
        *[
            case(f"pods-told-by-{how}", step(
                service(http(30080), **LOCAL_OUTSIDE), piece("b1", "b3"),
                probes=[
                    reaches(ask("c1", N1, 30080), "b1", "b3", seen_as="c1"),
                    reaches(ask("x1", N1, 30080), "b1", seen_as="x1"),
                    reaches(ask("c1", CLUSTER_IP), "b1", "b3", seen_as="c1"),
                    reaches(ask("x1", CLUSTER_IP), "b1", "b3", seen_as="n1"),
                    reaches(ask("n1", CLUSTER_IP), "b1", "b3", seen_as="n1"),
                ]), options=options)
            for how, options in (
                ("the-node-s-networks", {"detect_local_mode": "NodeCIDR"}),
                ("interface-prefix", {"detect_local_mode": "InterfaceNamePrefix", "interface_name_prefix": "pod-"}),
            )
        ],
        case("pods-told-by-one-interface", step(
            service(http(30080), **LOCAL_OUTSIDE), piece("b1", "b3"),
            probes=[
                reaches(ask("c1", N1, 30080), "b1", "b3", seen_as="c1"),
                reaches(ask("c2", N1, 30080), "b1", seen_as="c2"),
                reaches(ask("c2", CLUSTER_IP), "b1", "b3", seen_as="n1"),
            ]), options={"detect_local_mode": "BridgeInterface", "bridge_interface": "pod-c1"}),
        case("hairpin-ipv6-and-udp", step(
            service(HTTP, DNS, clusterIPs=BOTH), piece("b1"), piece("b1", ipv6=True),
            probes=[
                reaches(ask("b1", CLUSTER_IP6), "b1", seen_as="n1"),
                reaches(ask("b1", CLUSTER_IP6, 53, "UDP"), "b1", seen_as="n1"),
                reaches(ask("b1", CLUSTER_IP, 53, "UDP"), "b1", seen_as="n1"),
                reaches(ask("c1", CLUSTER_IP6), "b1", seen_as="c1"),
            ])),
        # Two Services share a backend: it must stay a hairpin of the one when the other goes.
        case("hairpin-survives-another-service", step(
            service(), piece("b1"), service(name="b", clusterIP="10.96.10.2"), piece("b1", of="b"),
            probes=[reaches(ask("b1", "10.96.10.2"), "b1", seen_as="n1")]),
            step(delete=["services/b"], probes=[reaches(ask("b1", CLUSTER_IP), "b1", seen_as="n1")])),
    ]  # fmt: skip


def affinity() -> list[Json]:
    def four(**more: Any) -> tuple[Json, Json]:
        return service(http(30080), **more), piece(*ALL_BACKENDS)

    local = ("b1", "b2")
    return [
        case("affinity-switched-on-and-off", step(*four(), probes=[
            reaches(ask("c1", CLUSTER_IP), *ALL_BACKENDS, seen_as="c1"),
        ]), step(*four(**STICKY), probes=[
            stays(ask("c1", CLUSTER_IP), seen_as="c1"),
            stays(ask("x1", N1, 30080), seen_as="n1"),
        ]), step(*four(), probes=[
            reaches(ask("c1", CLUSTER_IP), *ALL_BACKENDS, seen_as="c1"),
            reaches(ask("x1", N1, 30080), *ALL_BACKENDS, seen_as="n1"),
        ])),
        # Who was there first is known for sure where there was only one.
        case("affinity-outlives-new-endpoints", step(service(**STICKY), piece("b3"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1"),
            reaches(ask("x1", CLUSTER_IP), "b3", seen_as="n1"),
        ]), step(piece(*ALL_BACKENDS), probes=[
            reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1"),
            reaches(ask("x1", CLUSTER_IP), "b3", seen_as="n1"),
            stays(ask("c2", CLUSTER_IP), seen_as="c2"),
        ])),
        case("affinity-is-shared-by-all-addresses-of-a-port", step(
            service(http(30080), vips=[VIP], externalIPs=[EXTERNAL_IP], **STICKY), piece("b2"),
            probes=[reaches(ask("x1", CLUSTER_IP), "b2", seen_as="n1")]),
            step(piece(*ALL_BACKENDS), probes=[
                reaches(ask("x1", address, number), "b2", seen_as="n1")
                for address, number in ((VIP, 80), (EXTERNAL_IP, 80), (N1, 30080), (CLUSTER_IP, 80))
            ])),
        case("affinity-is-not-shared-by-ports", step(
            service(HTTP, {"name": "other", "port": 81, "protocol": "TCP"}, **STICKY),
            piece("b1", ports=["http"], name="x"), piece("b3", ports=["other"], name="y"),
            probes=[
                reaches(ask("c1", CLUSTER_IP, 80), "b1", seen_as="c1"),
                reaches(ask("c1", CLUSTER_IP, 81), "b3", seen_as="c1"),
            ]),
            step(piece("b1", "b3", ports=["http"], name="x"), piece("b1", "b3", ports=["other"], name="y"), probes=[
                reaches(ask("c1", CLUSTER_IP, 80), "b1", seen_as="c1"),
                reaches(ask("c1", CLUSTER_IP, 81), "b3", seen_as="c1"),
            ])),
        case("affinity-moves-when-its-endpoint-goes", step(service(**STICKY), piece("b1"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ]), step(piece("b2", "b3", "b4"), probes=[
            stays(ask("c1", CLUSTER_IP), seen_as="c1", among=("b2", "b3", "b4")),
        ]), step(piece("b3"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1"),
        ]), step(piece(*ALL_BACKENDS), probes=[
            reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1"),
        ])),
        case("affinity-forgets-an-endpoint-that-flaps", step(service(**STICKY), piece("b1"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ]), step(piece(), probes=[
            fails(ask("c1", CLUSTER_IP), "refused"),
        ]), step(piece("b3"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1"),
        ]), step(piece("b1", "b3"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1"),
        ])),
        case("affinity-etp-local-in-both-scopes", step(*four(**STICKY, **LOCAL_OUTSIDE), probes=[
            stays(ask("x1", N1, 30080), seen_as="x1", among=local),
            stays(ask("c1", N1, 30080), seen_as="c1"),
            stays(ask("c1", CLUSTER_IP), seen_as="c1"),
            stays(ask("n1", N1, 30080), seen_as="n1"),
            stays(ask("x1", N1, 30080), seen_as="x1", among=local),
        ])),
        # The client's endpoint is elsewhere, where only local ones are allowed: it is given another there.
        case("affinity-to-an-endpoint-outside-the-scope", step(
            service(http(30080), **STICKY, **LOCAL_OUTSIDE), piece("b3"),
            probes=[reaches(ask("x1", CLUSTER_IP), "b3", seen_as="n1")]),
            step(piece("b1", "b3"), probes=[reaches(ask("x1", N1, 30080), "b1", seen_as="x1")])),
        case("affinity-etp-switches", step(*four(**STICKY), probes=[
            stays(ask("x1", N1, 30080), seen_as="n1"),
        ]), step(*four(**STICKY, **LOCAL_OUTSIDE), probes=[
            stays(ask("x1", N1, 30080), seen_as="x1", among=local),
        ]), step(*four(**STICKY), probes=[
            stays(ask("x1", N1, 30080), seen_as="n1"),
        ])),
        case("affinity-itp-local", step(
            service(**STICKY, **LOCAL_INSIDE), piece(*ALL_BACKENDS),
            probes=[stays(ask("c1", CLUSTER_IP), seen_as="c1", among=local)])),
        case("affinity-ipv6-and-udp", step(
            service(HTTP, DNS, clusterIPs=BOTH, **STICKY), piece(*ALL_BACKENDS), piece(*ALL_BACKENDS, ipv6=True),
            probes=[
                stays(ask("c1", CLUSTER_IP6), seen_as="c1"),
                stays(ask("c1", CLUSTER_IP6, 53, "UDP"), seen_as="c1"),
                stays(ask("c1", CLUSTER_IP, 53, "UDP"), seen_as="c1"),
            ])),
        case("affinity-hairpin", step(service(**STICKY), piece("b1"), probes=[
            reaches(ask("b1", CLUSTER_IP), "b1", seen_as="n1"),
        ]), step(piece(*ALL_BACKENDS), probes=[
            reaches(ask("b1", CLUSTER_IP), "b1", seen_as="n1"),
        ])),
        case("affinity-timeout-shortened", step(*four(**sticky_for(3600)), probes=[
            stays(ask("c1", CLUSTER_IP), seen_as="c1"),
        ]), step(*four(**sticky_for(1)), probes=[
            moves(ask("c1", CLUSTER_IP, n=8, serial=True, every=1.3)),
        ])),
        case("affinity-time-starts-again-with-each-connection", step(service(**sticky_for(2)), piece("b2"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b2", seen_as="c1"),
        ]), step(piece(*ALL_BACKENDS), probes=[
            reaches(ask("c1", CLUSTER_IP, n=6, serial=True, every=0.8), "b2", seen_as="c1"),
        ])),
    ]  # fmt: skip


def udp_flows() -> list[Json]:
    def again(client: str = "c1", address: str = CLUSTER_IP, port: int = 53) -> Json:
        return ask(client, address, port, "UDP", sport=40053, n=2, serial=True)

    return [
        # The next three ask for more than kube-proxy 1.36 does, which leaves such flows in a black hole.
        case("udp-flow-ends-when-the-last-endpoint-goes", step(service(DNS), piece("b1"), probes=[
            reaches(again(), "b1", seen_as="c1"),
        ]), step(piece(), probes=[
            fails(again(), "refused"),
        ]), step(piece("b3"), probes=[
            reaches(again(), "b3", seen_as="c1"),
        ])),
        case("udp-flow-ends-when-its-service-is-deleted", step(service(DNS), piece("b1"), probes=[
            reaches(again(), "b1", seen_as="c1"),
        ]), step(delete=["services/a"], probes=[
            fails(again(), "timeout"),
        ])),
        case("udp-flow-ends-when-its-node-port-changes", step(service(dns(30053)), piece("b1"), probes=[
            reaches(again("x1", N1, 30053), "b1", seen_as="n1"),
        ]), step(service(dns(30054)), probes=[
            fails(again("x1", N1, 30053), "refused"),
            reaches(again("x1", N1, 30054), "b1", seen_as="n1"),
        ])),
        case("udp-flow-follows-endpoints-on-a-node-port", step(service(dns(30053)), piece("b1"), probes=[
            reaches(again("x1", N1, 30053), "b1", seen_as="n1"),
        ]), step(piece("b3"), probes=[
            reaches(again("x1", N1, 30053), "b3", seen_as="n1"),
        ])),
        case("udp-flow-follows-endpoints-ipv6", step(
            service(DNS, clusterIPs=[CLUSTER_IP6]), piece("b1", ipv6=True),
            probes=[reaches(again(address=CLUSTER_IP6), "b1", seen_as="c1")]),
            step(piece("b3", ipv6=True), probes=[reaches(again(address=CLUSTER_IP6), "b3", seen_as="c1")])),
        case("udp-flow-follows-the-target-port", step(service(DNS), piece("b1"), probes=[
            reaches(again(), "b1", seen_as="c1"),
        ]), step(piece("b1", targets={"dns": 8081}), probes=[
            reaches(again(), "b1", seen_as="c1"),
        ])),
        case("udp-flow-stays-with-an-endpoint-that-terminates-and-serves", step(service(DNS), piece("b1"), probes=[
            reaches(again(), "b1", seen_as="c1"),
        ]), step(piece(draining("b1"), "b3"), probes=[
            reaches(again(), "b1", seen_as="c1"),
            reaches(ask("c1", CLUSTER_IP, 53, "UDP"), "b3", seen_as="c1"),
        ]), step(piece(stopped("b1"), "b3"), probes=[
            reaches(again(), "b3", seen_as="c1"),
        ])),
        case("udp-flow-stays-while-others-come-and-go", step(service(DNS), piece("b1"), probes=[
            reaches(again(), "b1", seen_as="c1"),
        ]), step(piece(*ALL_BACKENDS), probes=[
            reaches(again(), "b1", seen_as="c1"),
        ])),
        # What was sent before the Service existed went elsewhere; it must not go on doing so.
        case("udp-flow-from-before-the-service", step(probes=[
            fails(ask("c1", EXTERNAL_IP, 53, "UDP", sport=40053, n=1), "timeout"),
        ]), step(service(DNS, externalIPs=[EXTERNAL_IP]), piece("b1"), probes=[
            reaches(again(address=EXTERNAL_IP), "b1", seen_as="n1"),
        ])),
    ]  # fmt: skip


def cluster_ips() -> list[Json]:
    return [
        case("cluster-ip-does-not-answer-echo-requests", step(service(clusterIPs=BOTH), piece("b1"), probes=[
            echo("c1", CLUSTER_IP, answered=False),
            echo("c1", CLUSTER_IP6, answered=False),
            echo("x1", CLUSTER_IP, answered=False),
            echo("c1", "10.244.1.21", answered=True),
            echo("c1", "fd00:244:1::15", answered=True),
        ])),
        case("cluster-ip-wrong-port", step(service(clusterIPs=BOTH), piece("b1"), probes=[
            fails(ask("n1", CLUSTER_IP, 81), "refused"),
            fails(ask("n1", CLUSTER_IP, 80, "UDP"), "EPERM"),
            fails(ask("x1", CLUSTER_IP, 81), "refused"),
            fails(ask("x1", CLUSTER_IP, 80, "UDP"), "refused"),
            fails(ask("c1", CLUSTER_IP6, 81), "refused"),
            fails(ask("c1", CLUSTER_IP6, 80, "UDP"), "refused"),
        ])),
        case("cluster-ip-that-no-service-has", step(service(), piece("b1"), probes=[
            fails(ask("c1", "10.96.99.99"), "timeout"),
            fails(ask("c1", "10.96.99.99", 53, "UDP"), "timeout"),
            fails(ask("n1", "10.96.99.99"), "timeout"),
            fails(ask("n1", "10.96.99.99", 53, "UDP"), "EPERM"),
            fails(ask("x1", "10.96.99.99"), "timeout"),
            fails(ask("c1", "fd00:10:96::ffff"), "timeout"),
        ])),
        case("cluster-ip-with-leading-zeros", step(service(clusterIP="010.096.010.001"), piece("b1"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ])),
        case("dual-stack-endpoints-of-one-family", step(service(clusterIPs=BOTH), piece("b1"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
            fails(ask("c1", CLUSTER_IP6), "refused"),
            fails(ask("n1", CLUSTER_IP6), "refused"),
        ]), step(piece("b4", ipv6=True), probes=[
            reaches(ask("c1", CLUSTER_IP6), "b4", seen_as="c1"),
        ])),
        case("cluster-ip-changes-hands", step(service(), piece("b1"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ]), step(service(name="b"), piece("b3", of="b"), delete=["services/a"], probes=[
            reaches(ask("c1", CLUSTER_IP), "b3", seen_as="c1"),
        ])),
    ]  # fmt: skip


def objects() -> list[Json]:
    other_proxy = {"service.kubernetes.io/service-proxy-name": "other"}
    headless = {"service.kubernetes.io/headless": ""}
    return [
        case("type-changes", step(service(), piece("b1"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
            fails(ask("x1", N1, 30080), "refused"),
        ]), step(service(http(30080)), probes=[
            reaches(ask("x1", N1, 30080), "b1", seen_as="n1"),
        ]), step(service(type="ExternalName", externalName="elsewhere.example"), probes=[
            fails(ask("c1", CLUSTER_IP), "timeout"),
            fails(ask("x1", N1, 30080), "refused"),
        ]), step(service(), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
            fails(ask("x1", N1, 30080), "refused"),
        ])),
        case("another-proxy-is-named-for-a-while", step(service(), piece("b1"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ]), step(service(labels=other_proxy), probes=[
            fails(ask("c1", CLUSTER_IP), "timeout"),
        ]), step(service(), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ])),
        case("a-live-slice-becomes-headless", step(service(), piece("b1"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ]), step(piece("b1", labels=headless), probes=[
            fails(ask("c1", CLUSTER_IP), "refused"),
        ])),
        case("a-slice-changes-owners", step(
            service(), piece("b1", name="s"), service(name="b", clusterIP="10.96.10.2"),
            probes=[reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"), fails(ask("c1", "10.96.10.2"), "refused")]),
            step(piece("b1", name="s", of="b"), probes=[
                fails(ask("c1", CLUSTER_IP), "refused"),
                reaches(ask("c1", "10.96.10.2"), "b1", seen_as="c1"),
            ])),
        case("slices-overlap", step(
            service(),
            piece("b1", unready("b2"), draining("b3"), name="one"), piece("b2", stopped("b3"), "b4", name="two"),
            probes=[reaches(ask("c1", CLUSTER_IP), "b1", "b2", "b4", seen_as="c1")])),
        case("one-address-under-two-ports", step(
            service(), piece("b1", name="one"), piece("b1", "b3", name="two", targets={"http": 8081}),
            probes=[reaches(ask("c1", CLUSTER_IP), "b1", "b3", seen_as="c1")])),
        case("twelve-backends", step(
            service(), *[piece(*ALL_BACKENDS, name=str(n), targets={"http": n}) for n in (8080, 8081, 5353)],
            probes=[{**ask("c1", CLUSTER_IP, n=240), "expect": {"any": {
                "fair": True, "err": [], "pods": list(ALL_BACKENDS), "src": ["c1"],
            }}}])),
        # kube-proxy lets chance decide; here the oldest has it, and the next oldest follows.
        case("two-services-claim-one-address", step(
            service(name="a", externalIPs=[EXTERNAL_IP], created="2026-01-02T00:00:00Z"), piece("b1"),
            service(name="b", externalIPs=[EXTERNAL_IP], clusterIP="10.96.10.2"), piece("b3", of="b"),
            probes=[
                reaches(ask("x1", EXTERNAL_IP), "b3", seen_as="n1"),
                reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
                reaches(ask("c1", "10.96.10.2"), "b3", seen_as="c1"),
            ]),
            step(delete=["services/b"], probes=[reaches(ask("x1", EXTERNAL_IP), "b1", seen_as="n1")])),
        case("service-is-deleted-and-made-again", step(service(http(30080)), piece("b1"), probes=[
            reaches(ask("x1", N1, 30080), "b1", seen_as="n1"),
        ]), step(delete=["services/a"], probes=[
            fails(ask("x1", N1, 30080), "refused"),
        ]), step(service(http(30080)), probes=[
            reaches(ask("x1", N1, 30080), "b1", seen_as="n1"),
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ])),
        case("endpoints-before-their-service", step(piece("b1"), probes=[
            fails(ask("c1", CLUSTER_IP), "timeout"),
        ]), step(service(), probes=[
            reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
        ])),
    ]  # fmt: skip


def connections() -> list[Json]:
    return [
        case("tcp-connection-survives-its-endpoint-and-its-service", step(service(), piece("b1"), probes=[
            holds("c1", CLUSTER_IP, 80, "b1", seen_as="10.244.1.10"),
        ]), step(piece(draining("b1")), probes=[
            still_holds("b1", seen_as="10.244.1.10"),
        ]), step(piece(), probes=[
            still_holds("b1", seen_as="10.244.1.10"),
        ]), step(delete=["services/a"], probes=[
            still_holds("b1", seen_as="10.244.1.10"),
        ])),
        case("masqueraded-tcp-connection-survives-a-change-of-policy", step(
            service(http(30080)), piece("b1"), probes=[holds("x1", N1, 30080, "b1", seen_as=N1)]),
            step(service(http(30080), **LOCAL_OUTSIDE), probes=[
                still_holds("b1", seen_as=N1),
                reaches(ask("x1", N1, 30080), "b1", seen_as="x1"),
            ])),
        case("pods-reach-pods-as-themselves", step(service(), piece("b1"), probes=[
            reaches(ask("c1", "10.244.1.21", 8080), "b1", seen_as="c1"),
            reaches(ask("c1", "10.244.2.23", 8080), "b3", seen_as="c1"),
            reaches(ask("b3", "10.244.1.21", 5353, "UDP"), "b1", seen_as="b3"),
            reaches(ask("x1", "10.244.1.21", 8080), "b1", seen_as="x1"),
        ])),
    ]  # fmt: skip
