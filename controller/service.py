"""What a Service asks for, read once: defaults filled in, addresses sorted by family, nonsense left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    return Protocol(port.protocol) if port.protocol in Protocol.__members__ else None


def families_of(service: Service) -> tuple[Family, ...]:
    """The families in which the Service has a cluster IP, in its order; none if it is not proxied at all.

    Not proxied: headless and ExternalName Services, and those that another proxy has been named for (the API
    server leaves them out of our watch; we do too).
    """
    spec = service.spec
    if spec.type == "ExternalName" or spec.cluster_ip in ("", "None"):
        return ()
    if LABEL_PROXY_NAME in (service.metadata.labels or {}):
        return ()
    # The Service's own order: its first family is the one that is meant where none is named.
    preferred = [f for name in spec.ip_families or () for f in Family if f.word == name]
    ordered = dict.fromkeys((*preferred, *Family))
    return tuple(f for f in ordered if cluster_ip_of(service, f) is not None)


def cluster_ip_of(service: Service, family: Family) -> str | None:
    """The cluster IP of that family: ``clusterIPs`` is in the order of ``ipFamilies``.

    Without ``ipFamilies`` (a Service from before dual-stack) ``clusterIP`` is all there is.
    """
    spec = service.spec
    texts = [spec.cluster_ip]
    if spec.ip_families:
        pairs = zip(spec.ip_families, spec.cluster_ips or (), strict=False)
        texts = [text for name, text in pairs if name == family.word]
    address = canonical_address(texts[0]) if texts else None
    return address if address is not None and Family.of(address) is family else None


def facts_of(service: Service, family: Family, node_addresses: Sequence[str]) -> ServiceFacts | None:
    """The Service through one family, or None if it has no cluster IP there.

    `node_addresses` are this node's own (``Node.status.addresses``): see `_sources`.
    """
    cluster_ip = cluster_ip_of(service, family)
    if cluster_ip is None:
        return None
    spec = service.spec
    status = service.status.load_balancer if service.status else None
    ingress = (status.ingress if status else None) or ()
    external_ips = _addresses(spec.external_ips or (), family)
    load_balancer_ips = _addresses((i.ip for i in ingress if i.ip_mode in (None, "VIP")), family)
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


def _addresses(texts: Iterable[str], family: Family) -> tuple[str, ...]:
    """Those of one family. Nobody can send to the unspecified address; to a dataplane it means every node address."""
    found = (canonical_address(text.strip()) for text in texts)
    return tuple(dict.fromkeys(a for a in found if a not in (None, family.any_address) and Family.of(a) is family))


def _sources(
    ranges: Iterable[str], family: Family, load_balancer_ips: Sequence[str], node_addresses: Sequence[str]
) -> tuple[str, ...] | None:
    """The sources that may reach the load-balancer addresses. A range that holds everything lifts the limit.

    When this node itself is allowed, so is each of those addresses as a source: a node on which the address
    is bound talks to it from that very address.
    """
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
