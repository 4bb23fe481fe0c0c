"""Services: defaults, families, validation, then cluster IPs and NodePorts, in the real server's order."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from lab.api.admission import service_defaults, service_families
from lab.api.admission.addresses import ClusterIPs, NodePorts, Taken
from lab.api.admission.base import Admission, Reservation, Surroundings
from lab.api.admission.service_type import (
    cluster_ips,
    is_headless,
    needs_cluster_ip,
    needs_health_check_node_port,
    needs_node_ports,
    node_ports,
)
from lab.api.admission.service_validation import validate_service
from lab.api.errors import FieldError, Object, invalid


class ServiceAdmission(Admission):
    """The rules for Services, and which addresses and ports of the cluster are taken."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._ports = NodePorts(around.node_ports, around.random)
        self._ips = ClusterIPs(around.random)

    def prepare(self, obj: Object, old: Object | None) -> None:
        spec = obj.setdefault("spec", {})
        before = old["spec"] if old else None
        service_defaults.forget_empty(spec)
        if before:
            service_defaults.drop_what_the_type_has_not(spec, before)
        service_defaults.set_defaults(spec)
        if before:
            service_defaults.keep_allocated(spec, before)
        service_families.sync_cluster_ips(spec, before)
        service_families.set_families(spec, before, self._families())
        obj.setdefault("status", {}).setdefault("loadBalancer", {})

    def prepare_status(self, obj: Object, old: Object) -> None:
        obj["status"].setdefault("loadBalancer", {})

    def validate(self, obj: Object, old: Object | None) -> Iterable[FieldError]:
        before = old["spec"] if old else None
        yield from validate_service(obj, old)
        yield from service_families.validate_families(obj["spec"], before, self._families())

    def reserve(self, obj: Object, old: Object | None) -> tuple[Reservation, Iterable[FieldError]]:
        spec = obj["spec"]
        reservation = _ServiceReservation(self._ips, self._ports, spec, old["spec"] if old else {})
        if old and old["spec"] == spec and cluster_ips(spec):
            return reservation, ()
        problems = [*self._reserve_ips(spec, reservation), *self._reserve_ports(spec, reservation)]
        if problems:
            reservation.cancel()
        return reservation, problems

    def released(self, obj: Object) -> None:
        for ip in cluster_ips(obj["spec"]):
            self._ips.give_back(ip)
        for port in node_ports(obj["spec"]):
            self._ports.give_back(port)

    # --- the networks -------------------------------------------------------------------------------------------

    def _networks(self) -> list[str]:
        """The networks of all ServiceCIDRs, those of the first one (``kubernetes``) in front."""
        cidrs = sorted(
            (c for c in self.around.list_objects("servicecidrs") if "deletionTimestamp" not in c["metadata"]),
            key=lambda c: (c["metadata"]["name"] != "kubernetes", c["metadata"]["creationTimestamp"]),
        )
        return [network for cidr in cidrs for network in cidr["spec"].get("cidrs") or ()]

    def _families(self) -> list[str]:
        return list(dict.fromkeys(service_families.family_of(network) for network in self._networks()))

    # --- taking -------------------------------------------------------------------------------------------------

    def _reserve_ips(self, spec: Object, reservation: _ServiceReservation) -> Iterable[FieldError]:
        if not needs_cluster_ip(spec) or is_headless(spec):
            return
        given = list(spec.get("clusterIPs") or ())
        networks = self._networks()
        for i, family in enumerate(spec["ipFamilies"]):
            of_family = [n for n in networks if service_families.family_of(n) == family]
            try:
                if i < len(given):
                    given[i] = str(ipaddress.ip_address(given[i]))
                    reservation.take_ip(given[i], of_family)
                else:
                    given.append(reservation.next_ip(of_family))
            except Taken as why:
                yield invalid("spec.clusterIPs", given, str(why))
                return
        spec["clusterIP"], spec["clusterIPs"] = given[0], given

    def _reserve_ports(self, spec: Object, reservation: _ServiceReservation) -> Iterable[FieldError]:
        ports = spec.get("ports") or []
        for i, port in enumerate(ports):
            if port.get("nodePort"):
                try:
                    reservation.take_port(port["nodePort"])
                except Taken as why:
                    yield invalid(f"spec.ports[{i}].nodePort", port["nodePort"], str(why))
        wants_health = needs_health_check_node_port(spec)
        if wants_health and spec.get("healthCheckNodePort"):
            try:
                reservation.take_port(spec["healthCheckNodePort"])
            except Taken as why:
                yield invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], str(why))
        try:
            for port in ports:
                if needs_node_ports(spec) and not port.get("nodePort"):
                    port["nodePort"] = self._shared(ports, port) or reservation.next_port()
            if wants_health and not spec.get("healthCheckNodePort"):
                spec["healthCheckNodePort"] = reservation.next_port()
        except Taken as why:
            yield invalid("spec.ports", [], f"failed to allocate a nodePort: {why}")

    @staticmethod
    def _shared(ports: list[Object], port: Object) -> int:
        """DNS over TCP and UDP, say: the same port under two protocols gets the same NodePort, if it is free there."""
        same = [p["nodePort"] for p in ports if p["port"] == port["port"] and p.get("nodePort")]
        used = {(p["protocol"], p.get("nodePort")) for p in ports}
        return next((number for number in same if (port["protocol"], number) not in used), 0)


class _ServiceReservation(Reservation):
    """What one request has taken. What the Service had before is its own already."""

    def __init__(self, ips: ClusterIPs, ports: NodePorts, spec: Object, old: Object) -> None:
        self._ips = ips
        self._ports = ports
        self._spec = spec
        self._had_ips = cluster_ips(old)
        self._had_ports = node_ports(old)
        self._took_ips: list[str] = []
        self._took_ports: list[int] = []

    def take_ip(self, address: str, networks: list[str]) -> None:
        if address not in self._had_ips:
            self._ips.take(address, networks)
            self._took_ips.append(address)

    def next_ip(self, networks: list[str]) -> str:
        address = self._ips.next(networks)
        self._took_ips.append(address)
        return address

    def take_port(self, port: int) -> None:
        if port not in self._had_ports and port not in self._took_ports:
            self._ports.take(port)
            self._took_ports.append(port)

    def next_port(self) -> int:
        port = self._ports.next()
        self._took_ports.append(port)
        return port

    def keep(self) -> None:
        for ip in self._had_ips - cluster_ips(self._spec):
            self._ips.give_back(ip)
        for port in self._had_ports - node_ports(self._spec):
            self._ports.give_back(port)

    def cancel(self) -> None:
        for ip in self._took_ips:
            self._ips.give_back(ip)
        for port in self._took_ports:
            self._ports.give_back(port)
