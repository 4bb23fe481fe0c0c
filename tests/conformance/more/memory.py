"""What a node remembers of clients and connections: affinity, UDP flows, TCP connections."""

from __future__ import annotations

from typing import Any

from conformance.words import (
    ALL_BACKENDS,
    BOTH,
    CLUSTER_IP,
    CLUSTER_IP6,
    DNS,
    EXTERNAL_IP,
    HTTP,
    LOCAL_INSIDE,
    LOCAL_OUTSIDE,
    N1,
    VIP,
    Json,
    ask,
    case,
    dns,
    draining,
    fails,
    holds,
    http,
    moves,
    piece,
    reaches,
    service,
    stays,
    step,
    still_holds,
    stopped,
)

STICKY: dict[str, Any] = {"sessionAffinity": "ClientIP"}


def sticky_for(seconds: int) -> dict[str, Any]:
    return {**STICKY, "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}}


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
        case("affinity-time-starts-again-with-each-connection", step(service(**sticky_for(3)), piece("b2"), probes=[
            reaches(ask("c1", CLUSTER_IP), "b2", seen_as="c1"),
        ]), step(piece(*ALL_BACKENDS), probes=[
            reaches(ask("c1", CLUSTER_IP, n=5, serial=True, every=1.0), "b2", seen_as="c1"),
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
        # Translated alike these flows would be one; each must get its answers from the address that it wrote to.
        case("udp-one-client-port-at-two-services-of-one-endpoint", step(
            service(DNS), piece("b1"), service(DNS, name="b", clusterIP="10.96.10.2"), piece("b1", of="b"), probes=[
                reaches(again(), "b1", seen_as="c1"),
                reaches(again(address="10.96.10.2"), "b1", seen_as="c1"),
                reaches(again(), "b1", seen_as="c1"),
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
        case("tcp-one-client-port-at-two-services-of-one-endpoint", step(
            service(), piece("b1"), service(name="b", clusterIP="10.96.10.2"), piece("b1", of="b"), probes=[
                reaches(ask("c1", address, sport=40080, n=1), "b1", seen_as="c1")
                for address in (CLUSTER_IP, "10.96.10.2", CLUSTER_IP)
            ])),
        case("pods-reach-pods-as-themselves", step(service(), piece("b1"), probes=[
            reaches(ask("c1", "10.244.1.21", 8080), "b1", seen_as="c1"),
            reaches(ask("c1", "10.244.2.23", 8080), "b3", seen_as="c1"),
            reaches(ask("b3", "10.244.1.21", 5353, "UDP"), "b1", seen_as="b3"),
            reaches(ask("x1", "10.244.1.21", 8080), "b1", seen_as="x1"),
        ])),
    ]  # fmt: skip


def restarts() -> list[Json]:
    """The agent ends, things happen, and it is started anew."""
    sport: dict[str, Any] = {"sport": 40053, "n": 2, "serial": True}
    return [
        case("restart-keeps-connections-and-affinity", step(service(**STICKY), piece("b3"), probes=[
            holds("c1", CLUSTER_IP, 80, "b3", seen_as="10.244.1.10"),
            reaches(ask("c2", CLUSTER_IP), "b3", seen_as="c2"),
        ]), step(restart=True, probes=[
            still_holds("b3", seen_as="10.244.1.10"),
            reaches(ask("c2", CLUSTER_IP), "b3", seen_as="c2"),
        ]), step(piece(*ALL_BACKENDS), probes=[
            reaches(ask("c2", CLUSTER_IP), "b3", seen_as="c2"),
            still_holds("b3", seen_as="10.244.1.10"),
        ])),
        case("restart-forgets-what-is-gone", step(
            service(http(30080), **STICKY), piece("b1"), service(name="b", clusterIP="10.96.10.2"), piece("b3", of="b"),
            probes=[
                reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1"),
                reaches(ask("c1", "10.96.10.2"), "b3", seen_as="c1"),
                reaches(ask("x1", N1, 30080), "b1", seen_as="n1"),
            ]),
            step(service(**STICKY), piece("b2"), delete=["services/b"], restart=True, probes=[
                reaches(ask("c1", CLUSTER_IP), "b2", seen_as="c1"),
                fails(ask("c1", "10.96.10.2"), "timeout"),
                fails(ask("x1", N1, 30080), "refused"),
            ])),
        case("restart-with-another-timeout-forgets-what-is-gone", step(
            service(**sticky_for(3600)), piece("b1"),
            probes=[reaches(ask("c1", CLUSTER_IP), "b1", seen_as="c1")]),
            step(service(**sticky_for(1800)), piece("b2", "b3"), restart=True, probes=[
                stays(ask("c1", CLUSTER_IP), seen_as="c1", among=("b2", "b3")),
            ])),
        case("restart-does-not-end-a-udp-flow", step(service(DNS), piece("b1"), probes=[
            reaches(ask("c1", CLUSTER_IP, 53, "UDP", **sport), "b1", seen_as="c1"),
        ]), step(piece(*ALL_BACKENDS), restart=True, probes=[
            reaches(ask("c1", CLUSTER_IP, 53, "UDP", **sport), "b1", seen_as="c1"),
        ])),
        case("restart-ends-a-udp-flow-whose-endpoint-went", step(service(DNS), piece("b1"), probes=[
            reaches(ask("c1", CLUSTER_IP, 53, "UDP", **sport), "b1", seen_as="c1"),
        ]), step(piece("b3"), restart=True, probes=[
            reaches(ask("c1", CLUSTER_IP, 53, "UDP", **sport), "b3", seen_as="c1"),
        ])),
    ]  # fmt: skip
