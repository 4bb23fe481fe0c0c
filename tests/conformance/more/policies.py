"""Who gets which endpoints and is seen as whom: traffic policies, hints, endpoints that end, masquerading."""

from __future__ import annotations

from typing import Any

from conformance.words import (
    BOTH,
    CLUSTER_IP,
    CLUSTER_IP6,
    DNS,
    HTTP,
    LOCAL_INSIDE,
    LOCAL_OUTSIDE,
    N1,
    VIP,
    Json,
    ask,
    case,
    draining,
    fails,
    http,
    piece,
    pod,
    reaches,
    service,
    step,
    stopped,
    unready,
)


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
