"""What a Service asks for, read once: defaults filled in, addresses sorted by family, nonsense left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controller.objects import LABEL_PROXY_NAME, Service, ServicePort
from dataplane.addresses import canonical_address, canonical_network, contains, host_network
from dataplane.table import Affinity, Family, Protocol

_DEFAULT_AFFINITY_SECONDS = 10800
_WITH_EXTERNAL_POLICY = ("NodePort", "LoadBalancer")


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """One Service seen through one IP family; what all its ports share.

    `sources` limits who reaches the load-balancer addresses (``spec.loadBalancerSourceRanges``); None: nobody
    is kept out. `internal_local` and `external_local` are the traffic policies, where they apply at all.
    """

    family: Family
    name: str  #: namespace/name
    cluster_ip: str
    external_ips: tuple[str, ...]
    load_balancer_ips: tuple[str, ...]
    sources: tuple[str, ...] | None
    internal_local: bool
    external_local: bool
    affinity_seconds: int | None

    def port_name(self, port: ServicePort) -> str:
        """The service port's name for people: ``namespace/name:port``."""
        return f"{self.name}:{port.name}" if port.name else self.name

    def affinity(self, port: ServicePort) -> Affinity | None:
        if self.affinity_seconds is None:
            return None
        return Affinity(f"{self.port_name(port)}/{port.protocol}", self.affinity_seconds)

    def is_external(self, port: ServicePort) -> bool:
        """Whether this port can be reached by anything but the cluster IP."""
        return bool(port.node_port or self.load_balancer_ips or self.external_ips)


def protocol_of(port: ServicePort) -> Protocol | None:
    """None for a protocol that no dataplane knows."""
    return _PROTOCOLS.get(port.protocol)


_PROTOCOLS = dict(Protocol.__members__)


def cluster_ips_of(service: Service) -> Mapping[Family, str]:
    """The cluster IP of each family, in the Service's own order; none if it is not proxied at all.

    Not proxied: headless and ExternalName Services, and those that another proxy has been named for (the API server
    leaves them out of our watch; we do too). ``clusterIPs`` is in the order of ``ipFamilies``, of which the first is
    meant where none is named. Without ``ipFamilies`` (a Service from before dual-stack) ``clusterIP`` is all there is.
    """
    spec = service.spec
    if spec.type == "ExternalName" or spec.cluster_ip in ("", "None"):
        return {}
    if LABEL_PROXY_NAME in (service.metadata.labels or {}):
        return {}
    listed: Iterable[tuple[str | None, str]] = ((None, spec.cluster_ip),)
    if spec.ip_families:
        listed = zip(spec.ip_families, spec.cluster_ips or (), strict=False)
    found: dict[Family, str] = {}
    for word, text in listed:
        address = canonical_address(text)
        if address is not None:
            family = Family.of(address)
            if word is None or word == family.word:
                found.setdefault(family, address)
    return found


def facts_of(service: Service, node_addresses: Sequence[str]) -> Mapping[Family, ServiceFacts]:
    """The Service through each family in which it has a cluster IP, in its own order.

    `node_addresses` are this node's own (``Node.status.addresses``): see `_sources`.
    """
    ips = cluster_ips_of(service)
    return {family: _facts(service, family, cluster_ip, node_addresses) for family, cluster_ip in ips.items()}


def _facts(service: Service, family: Family, cluster_ip: str, node_addresses: Sequence[str]) -> ServiceFacts:
    spec = service.spec
    status = service.status.load_balancer if service.status else None
    ingress = (status.ingress if status else None) or ()
    external_ips = _addresses(spec.external_ips or (), family)
    load_balancer_ips = _addresses([i.ip for i in ingress if i.ip_mode in (None, "VIP")], family)
    accessible = spec.type in _WITH_EXTERNAL_POLICY or (spec.type == "ClusterIP" and bool(spec.external_ips))
    return ServiceFacts(
        family=family,
        name=f"{service.metadata.namespace}/{service.metadata.name}",
        cluster_ip=cluster_ip,
        external_ips=external_ips,
        load_balancer_ips=load_balancer_ips,
        sources=_sources(spec.load_balancer_source_ranges or (), family, load_balancer_ips, node_addresses),
        internal_local=spec.internal_traffic_policy == "Local",
        external_local=accessible and spec.external_traffic_policy == "Local",
        affinity_seconds=_affinity_seconds(service),
    )


def _addresses(texts: Sequence[str], family: Family) -> tuple[str, ...]:
    """Those of one family. Nobody can send to the unspecified address; to a dataplane it means every node address."""
    if not texts:
        return ()
    found = (canonical_address(text.strip()) for text in texts)
    return tuple(dict.fromkeys(a for a in found if a not in (None, family.any_address) and Family.of(a) is family))


def _sources(
    ranges: Sequence[str], family: Family, load_balancer_ips: Sequence[str], node_addresses: Sequence[str]
) -> tuple[str, ...] | None:
    """The sources that may reach the load-balancer addresses. A range that holds everything lifts the limit.

    When this node itself is allowed, so is each of those addresses as a source: a node on which the address
    is bound talks to it from that very address.
    """
    if not ranges:
        return None
    found = (canonical_network(text.strip()) for text in ranges)
    allowed = tuple(dict.fromkeys(n for n in found if n is not None and Family.of(n) is family))
    if not allowed or any(n.endswith("/0") for n in allowed):
        return None
    if any(contains(allowed, address) for address in node_addresses):
        allowed += tuple(host_network(vip) for vip in load_balancer_ips if not contains(allowed, vip))
    return allowed


def _affinity_seconds(service: Service) -> int | None:
    spec = service.spec
    if spec.session_affinity != "ClientIP":
        return None
    config = spec.session_affinity_config
    given = config.client_ip.timeout_seconds if config and config.client_ip else None
    return _DEFAULT_AFFINITY_SECONDS if given is None else given
