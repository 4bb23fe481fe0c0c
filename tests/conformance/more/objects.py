"""Cluster IPs, and what becomes of them while Services and EndpointSlices come, change and go."""

from __future__ import annotations

from conformance.words import (
    ALL_BACKENDS,
    BOTH,
    CLUSTER_IP,
    CLUSTER_IP6,
    EXTERNAL_IP,
    LOCAL_INSIDE,
    LOCAL_OUTSIDE,
    N1,
    ON_HOST,
    SOME_ERROR,
    Json,
    ask,
    case,
    dns,
    draining,
    echo,
    fails,
    http,
    piece,
    reaches,
    service,
    step,
    stopped,
    unready,
)


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
            fails(ask("n1", CLUSTER_IP, 81), "refused", iptables="timeout"),
            fails(ask("n1", CLUSTER_IP, 80, "UDP"), "EPERM", iptables="timeout"),
            fails(ask("x1", CLUSTER_IP, 81), "refused", iptables="timeout"),
            fails(ask("x1", CLUSTER_IP, 80, "UDP"), "refused", iptables="timeout"),
            fails(ask("c1", CLUSTER_IP6, 81), "refused", iptables=SOME_ERROR),
            fails(ask("c1", CLUSTER_IP6, 80, "UDP"), "refused", iptables=SOME_ERROR),
        ])),
        case("cluster-ip-that-no-service-has", step(service(), piece("b1"), probes=[
            fails(ask("c1", "10.96.99.99"), "timeout"),
            fails(ask("c1", "10.96.99.99", 53, "UDP"), "timeout"),
            fails(ask("n1", "10.96.99.99"), "timeout"),
            fails(ask("n1", "10.96.99.99", 53, "UDP"), "EPERM", iptables="timeout"),
            fails(ask("x1", "10.96.99.99"), "timeout"),
            fails(ask("c1", "fd00:10:96::ffff"), "timeout", iptables=SOME_ERROR),
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


def host_network() -> list[Json]:
    """Pods with hostNetwork: their address is their node's."""
    return [
        case("host-network-endpoint-on-this-node", step(
            service(http(30080), dns(30053)), piece("n1", targets=ON_HOST),
            probes=[
                reaches(ask("c1", CLUSTER_IP), "n1", seen_as="c1"),
                reaches(ask("c1", CLUSTER_IP, 53, "UDP"), "n1", seen_as="c1"),
                reaches(ask("n1", CLUSTER_IP), "n1", seen_as="n1"),
                # Nothing leaves the node, so nothing is masqueraded.
                reaches(ask("x1", CLUSTER_IP), "n1", seen_as="x1"),
                reaches(ask("x1", N1, 30080), "n1", seen_as="x1"),
                reaches(ask("n1", N1, 30080), "n1", seen_as="n1"),
            ])),
        case("host-network-endpoints-on-both-nodes", step(service(), piece("n1", "n2", targets=ON_HOST), probes=[
            reaches(ask("c1", CLUSTER_IP), "n1", "n2", seen_as="c1"),
            reaches(ask("n1", CLUSTER_IP), "n1", "n2", seen_as="n1"),
        ])),
        case("host-network-endpoints-itp-local", step(
            service(**LOCAL_INSIDE), piece("n1", "n2", targets=ON_HOST),
            probes=[
                reaches(ask("c1", CLUSTER_IP), "n1", seen_as="c1"),
                reaches(ask("n1", CLUSTER_IP), "n1", seen_as="n1"),
            ])),
        case("host-network-endpoints-etp-local", step(
            service(http(30080), **LOCAL_OUTSIDE), piece("n1", "n2", targets=ON_HOST),
            probes=[
                reaches(ask("x1", N1, 30080), "n1", seen_as="x1"),
                reaches(ask("c1", N1, 30080), "n1", "n2", seen_as="c1"),
                reaches(ask("n1", N1, 30080), "n1", "n2", seen_as="n1"),
            ])),
    ]  # fmt: skip
