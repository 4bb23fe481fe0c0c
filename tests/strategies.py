"""Random clusters and random tables, for properties that must hold of all of them.

The worlds are small on purpose: few names, addresses and ports, so that Services collide, slices overlap and an
update often touches what is already there.
"""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from cluster import ADDRESSES, CLUSTER_CIDRS, NODES, SERVICE_CIDRS, ZONES
from controller.compile import NodeView
from controller.objects import (
    ClientIPConfig,
    EndpointConditions,
    EndpointHints,
    EndpointSlice,
    ForNode,
    ForZone,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Metadata,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
    SliceEndpoint,
    SlicePort,
)
from controller.selection import Place
from dataplane.table import (
    Affinity,
    Backend,
    DetectLocal,
    Drop,
    Endpoint,
    Entrance,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    HealthCheckPort,
    Pool,
    Protocol,
    Reject,
    Verdict,
)

SERVICE_NAMES = ("a", "b", "c")
PODS = tuple(NODES)
CLUSTER_IPS = {
    Family.IPV4: ("10.96.0.1", "10.96.0.2", "10.96.0.3"),
    Family.IPV6: ("fd00:10:96::1", "fd00:10:96::2", "fd00:10:96::3"),
}
EXTERNAL_IPS = ("198.51.100.7", "198.51.100.8", "2001:db8::7", "2001:db8::8")
SOURCE_RANGES = ("192.0.2.0/24", "192.0.2.50/32", "203.0.113.0/24", "0.0.0.0/0", "fd00:192::/64", "nonsense")
PORT_NAMES = ("", "http")

T = TypeVar("T")

families = st.sampled_from(Family)
protocols = st.sampled_from(Protocol)
policies = st.sampled_from(("Cluster", "Local"))


def _few(elements: SearchStrategy[object], most: int = 3) -> SearchStrategy[tuple]:  # type: ignore[type-arg]
    return st.lists(elements, max_size=most).map(tuple)


# --- Objects of Kubernetes --------------------------------------------------------------------------------------


def _mostly(usual: T, *others: T) -> SearchStrategy[T]:
    """The first one three times out of four."""
    return st.sampled_from((*[usual] * 3 * len(others), *others))


READY = EndpointConditions(ready=True)
DRAINING = EndpointConditions(ready=False, serving=True, terminating=True)
any_conditions = st.builds(
    EndpointConditions,
    ready=st.sampled_from((None, True, False)),
    serving=st.sampled_from((None, True, False)),
    terminating=st.sampled_from((None, True, False)),
)
conditions = st.sampled_from((READY, READY, READY, DRAINING, None)) | any_conditions
hints = st.none() | st.builds(
    EndpointHints,
    for_zones=st.none() | _few(st.builds(ForZone, st.sampled_from(("za", "zb")))),
    for_nodes=st.none() | _few(st.builds(ForNode, st.sampled_from(("n1", "n2")))),
)


@st.composite
def slice_endpoints(draw: st.DrawFn, family: Family, *, hinted: bool) -> SliceEndpoint:
    pod = draw(st.sampled_from(PODS))
    node = draw(_mostly(NODES[pod], None))
    return SliceEndpoint(
        addresses=(ADDRESSES[pod][0 if family is Family.IPV4 else 1],),
        conditions=draw(conditions),
        node_name=node,
        zone=ZONES.get(node or ""),
        hints=draw(hints) if hinted else None,
    )


#: Every port that a Service here can have.
USUAL_PORTS = tuple(SlicePort(name, 8080, protocol) for name in PORT_NAMES for protocol in Protocol)
odd_ports = st.lists(
    st.builds(
        SlicePort,
        name=st.sampled_from((*PORT_NAMES, None)),
        port=st.sampled_from((8080, 5353, None)),
        protocol=st.sampled_from((*Protocol, None)),
    ),
    max_size=4,
).map(tuple)


@st.composite
def slices_of(draw: st.DrawFn, service: str, family: Family, name: str) -> EndpointSlice:
    """A slice of this Service, as slice controllers make them; the ports may be odd."""
    hinted = draw(st.booleans())
    least = draw(_mostly(1, 0))
    endpoints = draw(st.lists(slice_endpoints(family, hinted=hinted), min_size=least, max_size=4))
    return EndpointSlice(
        Metadata(name=name, namespace="default", labels={"kubernetes.io/service-name": service}),
        "IPv4" if family is Family.IPV4 else "IPv6",
        tuple(endpoints),
        USUAL_PORTS if draw(st.integers(0, 3)) else draw(odd_ports),
    )


@st.composite
def endpoint_slices(draw: st.DrawFn) -> EndpointSlice:
    """A slice with any of a few names, usually of one of the Services; sometimes of none, or of a headless one."""
    name = draw(st.sampled_from(("s1", "s2", "s3", "s4")))
    piece = draw(slices_of(draw(st.sampled_from(SERVICE_NAMES)), draw(families), name))
    odd = ({"kubernetes.io/service-name": ""}, {"service.kubernetes.io/headless": ""})
    labels = draw(st.sampled_from((*[{}] * 8, *odd)))
    return replace(piece, metadata=replace(piece.metadata, labels={**(piece.metadata.labels or {}), **labels}))


@st.composite
def services(draw: st.DrawFn) -> Service:
    """A Service of any type, in any families, with any policies; sometimes one that is not proxied."""
    both = draw(st.permutations(list(Family)))[: draw(st.integers(1, 2))]
    ips = tuple(draw(st.sampled_from(CLUSTER_IPS[family])) for family in both)
    kind = draw(st.sampled_from(("ClusterIP", "NodePort", "NodePort", "LoadBalancer", "LoadBalancer", "ExternalName")))
    port = st.builds(
        ServicePort,
        port=st.sampled_from((80, 53)),
        name=st.sampled_from(PORT_NAMES),
        protocol=protocols.map(str),
        node_port=st.sampled_from((None, 30080, 30053)) if kind in ("NodePort", "LoadBalancer") else st.none(),
    )
    ingress = st.builds(
        LoadBalancerIngress,
        ip=st.sampled_from((*EXTERNAL_IPS, "")),
        ip_mode=_mostly(None, "VIP", "Proxy"),
    )
    return Service(
        Metadata(
            name=draw(st.sampled_from(SERVICE_NAMES)),
            namespace="default",
            labels=draw(st.sampled_from((*[None] * 9, {"service.kubernetes.io/service-proxy-name": "other"}))),
            creation_timestamp=draw(st.sampled_from(("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"))),
        ),
        ServiceSpec(
            type=kind,
            cluster_ip=draw(st.sampled_from((*[ips[0]] * 9, "None"))),
            cluster_ips=ips,
            ip_families=tuple("IPv4" if family is Family.IPV4 else "IPv6" for family in both),
            ports=tuple(draw(st.lists(port, min_size=1, max_size=4))),
            external_ips=draw(_few(st.sampled_from(EXTERNAL_IPS), 2)),
            load_balancer_source_ranges=draw(st.just(()) | _few(st.sampled_from(SOURCE_RANGES), 2)),
            external_traffic_policy=draw(policies),
            internal_traffic_policy=draw(st.none() | policies),
            session_affinity=draw(_mostly("None", "ClientIP")),
            session_affinity_config=draw(
                st.none() | st.integers(1, 60).map(lambda s: SessionAffinityConfig(ClientIPConfig(s)))
            ),
        ),
        ServiceStatus(LoadBalancerStatus(draw(_few(ingress, 2)))),
    )


detect_locals = st.sampled_from(
    (
        DetectLocal(),
        DetectLocal(CLUSTER_CIDRS),
        DetectLocal(CLUSTER_CIDRS[:1]),
        DetectLocal(interface="cni0"),
        DetectLocal(interface="pod-", prefix=True),
    )
)
node_port_addresses = st.sampled_from(
    (
        frozenset(ADDRESSES["n1"]),
        frozenset({"0.0.0.0", "::"}),
        frozenset({ADDRESSES["n1"][0], "::"}),
        frozenset(),
    )
)
node_views = st.builds(
    NodeView,
    place=st.sampled_from((Place("n1", "za"), Place("n1", ""), Place("n2", "zb"))),
    addresses=st.sampled_from((ADDRESSES["n1"], ADDRESSES["n1"][:1], ())),
    node_port_addresses=node_port_addresses,
    detect_local=detect_locals,
    masquerade_all=st.booleans(),
)


# --- Tables -----------------------------------------------------------------------------------------------------

BACKENDS = {
    family: tuple(Backend(ADDRESSES[pod][index], port, NODES[pod] == "n1") for pod in PODS for port in (8080, 5353))
    for index, family in enumerate(Family)
}


@st.composite
def pools(draw: st.DrawFn, family: Family, affinity: Affinity | None) -> Pool:
    """One to five backends in the order in which compiling puts them."""
    found = sorted(draw(st.sets(st.sampled_from(BACKENDS[family]), min_size=1, max_size=5)), key=str)
    if draw(st.integers(0, 3)) == 0:
        found = [backend._replace(weight=draw(st.sampled_from((1, 2, 3, 10)))) for backend in found]
    return Pool(tuple(found), affinity)


def verdicts(pool: SearchStrategy[Pool]) -> SearchStrategy[Verdict]:
    return st.builds(Forward, pool, st.booleans()) | st.just(Reject()) | st.just(Drop())


@st.composite
def frontends(draw: st.DrawFn) -> Frontend:
    """Any frontend that the model allows: up to three different pools, which share one memory if they have any."""
    family = draw(families)
    protocol = draw(protocols)
    node_port = draw(st.booleans())
    service = draw(st.sampled_from(SERVICE_NAMES))
    if node_port:
        key = FrontendKey(family.any_address, protocol, draw(st.sampled_from((30080, 30053))))
    else:
        outside = tuple(a for a in EXTERNAL_IPS if Family.of(a) is family)
        key = FrontendKey(
            draw(st.sampled_from(CLUSTER_IPS[family] + outside)), protocol, draw(st.sampled_from((80, 53)))
        )
    # One service port has one memory, with one life time, wherever it is reached.
    remembers = draw(st.booleans())
    affinity = Affinity(f"default/{service}/{protocol}", 10 + SERVICE_NAMES.index(service)) if remembers else None
    given = draw(st.lists(pools(family, affinity), min_size=1, max_size=3))
    verdict = verdicts(st.sampled_from(given))
    ranges = tuple(r for r in SOURCE_RANGES[:3] if Family.of(r) is family)
    limited = not node_port and bool(ranges) and draw(st.integers(0, 3)) == 0
    serving: frozenset[Endpoint] | None = None
    if protocol is Protocol.UDP:
        also = draw(st.sets(st.sampled_from(BACKENDS[family]), max_size=2))
        serving = frozenset(b.endpoint for b in {b for pool in given for b in pool.backends} | also)
    entrances = (Entrance.CLUSTER_IP, Entrance.EXTERNAL_IP, Entrance.LOAD_BALANCER_IP)
    return Frontend(
        key,
        f"default/{service}",
        draw(verdict),
        draw(verdict),
        draw(verdict),
        tuple(draw(st.lists(st.sampled_from(ranges), min_size=1, unique=True))) if limited else None,
        serving,
        Entrance.NODE_PORT if node_port else draw(st.sampled_from(entrances)),
        draw(st.booleans()),
    )


@st.composite
def tables(draw: st.DrawFn, most_frontends: int = 8) -> ForwardingTable:
    """Any table that the model allows. Its cluster IPs are those of its frontends, and a few more."""
    found = {f.key: f for f in draw(st.lists(frontends(), max_size=most_frontends))}
    every_cluster_ip = [a for addresses in CLUSTER_IPS.values() for a in addresses]
    used = {key.address for key in found if key.address in every_cluster_ip}
    return ForwardingTable(
        found,
        frozenset(used | draw(st.sets(st.sampled_from(every_cluster_ip), max_size=2))),
        draw(st.sampled_from((SERVICE_CIDRS, frozenset[str](), frozenset({"10.96.0.0/12"})))),
        draw(node_port_addresses),
        draw(detect_locals),
        frozenset(draw(st.sets(st.builds(HealthCheckPort, families, st.sampled_from((32000, 32001)), st.just("a/b"))))),
    )
