"""What happens to the cluster in a soak: one thing after the other, at random, and the same for the same seed.

    changes = Changes(store, random.Random(7))
    changes.one()      → "scale service-12-3 to 5"

A Service that comes has a name that none had before, as in a cluster that lives long: what an agent keeps by name, and
does not forget, grows then for as long as it runs.

Services in the first slots are steady: nothing ever happens to them. One more, the *mark*, is moved only by
`move_mark`: whoever sees it where it went has seen all that was changed before.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.soak.addresses import FAMILIES, NODE, NODE_ADDRESSES, TCP_PORTS, UDP_PORT, cluster_ip, endpoint, node_port
from bench.workload import Json
from lab.api.registry import ENDPOINT_SLICES, NODES, SERVICES
from lab.api.store import Store

SLOTS = 80
STEADY = 8
MARK = SLOTS  #: the slot of the mark
_MOST_ENDPOINTS = 12
_ZONES = ("za", "zb")
_CONDITIONS = ((True, True, False), (False, True, True), (False, False, True), (False, False, False))
"""Ready, serving, terminating: in service, draining, gone, not there yet."""


@dataclass
class Service:
    """One Service as it is meant to be."""

    slot: int
    number: int = 0  #: counts those that came; 0 for those that were there at first
    type: str = "ClusterIP"
    internal: str = "Cluster"
    external: str = "Cluster"
    affinity: int = 0  #: seconds; 0 for none
    http: int = TCP_PORTS[0]  #: the port that endpoints have for it
    http_port: int = 80
    endpoints: dict[int, tuple[bool, bool, bool]] = field(default_factory=dict)
    hinted: bool = False

    @property
    def name(self) -> str:
        return f"service-{self.slot}-{self.number}"

    def object(self) -> Json:
        spec: Json = {
            "type": self.type,
            "clusterIP": cluster_ip(self.slot, 4),
            "clusterIPs": [cluster_ip(self.slot, family) for family in FAMILIES],
            "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack",
            "internalTrafficPolicy": self.internal,
            "sessionAffinity": "ClientIP" if self.affinity else "None",
            "ports": [
                {"name": "http", "port": self.http_port, "targetPort": "http", "protocol": "TCP"},
                {"name": "admin", "port": 81, "targetPort": "admin", "protocol": "TCP"},
                {"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"},
            ],
        }
        if self.affinity:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": self.affinity}}
        if self.type == "NodePort":
            spec["externalTrafficPolicy"] = self.external
            spec["ports"][0]["nodePort"] = node_port(self.slot)
            spec["ports"][2]["nodePort"] = node_port(self.slot)
        return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(self.name), "spec": spec}

    def slice(self, family: int) -> Json:
        ports = (("http", self.http, "TCP"), ("admin", TCP_PORTS[1], "TCP"), ("dns", UDP_PORT, "UDP"))
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                **_metadata(f"{self.name}-{family}"),
                "labels": {"kubernetes.io/service-name": self.name},
            },
            "addressType": f"IPv{family}",
            "ports": [{"name": n, "port": p, "protocol": protocol} for n, p, protocol in ports],
            "endpoints": [self._endpoint(number, family) for number in sorted(self.endpoints)],
        }

    def _endpoint(self, number: int, family: int) -> Json:
        ready, serving, terminating = self.endpoints[number]
        zone = _ZONES[number % 2]
        described: Json = {
            "addresses": [endpoint(self.slot, number, family)],
            "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
            "nodeName": NODE if number % 3 == 0 else "n2",
            "zone": zone,
        }
        if self.hinted:
            described["hints"] = {"forZones": [{"name": zone}]}
        return described


class Changes:
    """Makes the steady Services and the mark at once. `made` counts the changes by kind."""

    def __init__(self, store: Store, chance: random.Random) -> None:
        self._store, self._random = store, chance
        self.services: dict[int, Service] = {}
        self._gone: dict[int, Service] = {}  # Services whose slices are still there
        self._came = 0
        self.made: dict[str, int] = {}
        store.create(NODES, _node())
        store.update(NODES, _node(), subresource="status")
        for slot in range(STEADY):
            steady = self._any(slot)
            steady.internal, steady.endpoints[0] = "Cluster", _CONDITIONS[0]
            self._create(steady)
        self._create(Service(MARK, endpoints={0: _CONDITIONS[0]}))

    def one(self) -> str:
        """Change one thing, and say what."""
        kinds: list[tuple[Callable[[], str], int]] = [
            (self._come, 3 if len(self.services) < SLOTS * 3 // 4 else 1),
            (self._go, 1),
            (self._scale, 6),
            (self._flip, 12),
            (self._reconfigure, 3),
            (self._move_zone, 1),
        ]
        (kind,) = self._random.choices([k for k, _ in kinds], [weight for _, weight in kinds])
        self.made[kind.__name__.strip("_")] = self.made.get(kind.__name__.strip("_"), 0) + 1
        return kind()

    @property
    def mark(self) -> tuple[int, int]:
        """Its port, and the number of its endpoint."""
        mark = self.services[MARK]
        (number,) = mark.endpoints
        return mark.http_port, number

    def move_mark(self) -> None:
        """The mark gets another port and another endpoint."""
        mark = self.services[MARK]
        (number,) = mark.endpoints
        mark.endpoints = {(number + 1) % 200: _CONDITIONS[0]}
        mark.http_port = 1000 + (mark.http_port + 1) % 50000
        self._write(mark)

    def _come(self) -> str:
        free = [slot for slot in range(STEADY, SLOTS) if slot not in self.services]
        if not free:
            return "nothing"
        self._came += 1
        service = self._any(self._random.choice(free), self._came)
        self._create(service, slices_first=self._random.random() < 0.3)
        return f"create {service.name} with {len(service.endpoints)} endpoints"

    def _go(self) -> str:
        service = self._one_of_them()
        if service is None:
            return "nothing"
        del self.services[service.slot]
        self._store.delete(SERVICES, "default", service.name)
        if self._random.random() < 0.8:
            self._delete_slices(service)
        else:
            self._gone[service.slot] = service
        return f"delete {service.name}"

    def _scale(self) -> str:
        service = self._one_of_them()
        if service is None:
            return "nothing"
        wanted = self._random.choice((0, 1, 1, 2, 3, 5, _MOST_ENDPOINTS))
        numbers = self._random.sample(range(1, 2 * _MOST_ENDPOINTS), wanted)
        service.endpoints = {n: service.endpoints.get(n, _CONDITIONS[0]) for n in numbers}
        self._write(service)
        return f"scale {service.name} to {wanted}"

    def _flip(self) -> str:
        service = self._one_of_them()
        if service is None or not service.endpoints:
            return "nothing"
        number = self._random.choice(sorted(service.endpoints))
        service.endpoints[number] = self._random.choice(_CONDITIONS)
        self._write(service)
        return f"endpoint {number} of {service.name} becomes {service.endpoints[number]}"

    def _reconfigure(self) -> str:
        service = self._one_of_them()
        if service is None:
            return "nothing"
        other = self._any(service.slot, service.number)
        other.endpoints = service.endpoints
        self.services[service.slot] = other
        self._write(other)
        return f"reconfigure {service.name}"

    def _move_zone(self) -> str:
        zone = self._random.choice(_ZONES)
        self._store.update(NODES, _node(zone))
        return f"the node is in {zone} now"

    def _any(self, slot: int, number: int = 0) -> Service:
        """Some Service for this slot."""
        chance = self._random
        numbers = chance.sample(range(1, 2 * _MOST_ENDPOINTS), chance.choice((0, 1, 2, 3, 4, _MOST_ENDPOINTS)))
        return Service(
            slot,
            number,
            type=chance.choice(("ClusterIP", "NodePort")),
            internal=chance.choice(("Cluster", "Cluster", "Local")),
            external=chance.choice(("Cluster", "Local")),
            affinity=chance.choice((0, 0, 5, 10800)),
            http=chance.choice(TCP_PORTS),
            endpoints=dict.fromkeys(numbers, _CONDITIONS[0]),
            hinted=chance.random() < 0.2,
        )

    def _one_of_them(self) -> Service | None:
        changing = [slot for slot in sorted(self.services) if STEADY <= slot < MARK]
        return self.services[self._random.choice(changing)] if changing else None

    def _create(self, service: Service, slices_first: bool = False) -> None:
        orphans = self._gone.pop(service.slot, None)
        if orphans is not None:
            self._delete_slices(orphans)
        self.services[service.slot] = service
        slices = [(ENDPOINT_SLICES, service.slice(family)) for family in FAMILIES]
        of_both = [*slices, (SERVICES, service.object())] if slices_first else [(SERVICES, service.object()), *slices]
        for kind, obj in of_both:
            self._store.create(kind, obj)

    def _write(self, service: Service) -> None:
        written = [(SERVICES, service.object()), *((ENDPOINT_SLICES, service.slice(family)) for family in FAMILIES)]
        self._random.shuffle(written)
        for kind, obj in written:
            self._store.update(kind, obj)

    def _delete_slices(self, service: Service) -> None:
        for family in FAMILIES:
            self._store.delete(ENDPOINT_SLICES, "default", f"{service.name}-{family}")


def _metadata(name: str) -> Json:
    return {"name": name, "namespace": "default"}


def _node(zone: str = _ZONES[0]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE, "labels": {"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": NODE}},
        "spec": {"podCIDR": "10.129.0.0/24", "podCIDRs": ["10.129.0.0/24", "fd00:10:129::/64"]},
        "status": {"addresses": [{"type": "InternalIP", "address": address} for address in NODE_ADDRESSES]},
    }
