"""The ForwardingTable: all that a dataplane has to know.

`controller.compile` decides everything that Kubernetes says about Services, once, and writes the outcome
down here. No Service, slice, policy or hint is left in it, only addresses and what to do for whom:

    Frontend    (address or any node address, protocol, port)
       one Verdict for each Client ─┬─ Forward(pool, masquerade)
       the sources allowed          ├─ Reject()
                                    └─ Drop()
    Pool        an ordered tuple of Backends, its affinity, if any, and how one of them is picked

Addresses are strings in canonical form (as `socket.inet_ntop` writes them), IPv4 and IPv6 side by side in one
table; networks are strings like ``10.96.0.0/12`` without host bits. A frontend whose address is the
unspecified one (``0.0.0.0`` or ``::``) is a NodePort: it is reached through any address in
`ForwardingTable.node_addresses`; and there the unspecified address means *every* address of this host but
the loopback ones.

Everything is immutable by convention and comparable by value; mappings must not be written after the table is
built. So what did not change can be the same object in the next table, and in a `PersistentMap` a whole part of it:
that is what makes `Changes.between` cheap.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, TypeAlias


class Family(enum.IntEnum):
    """An IP version. Its value is the number in the header's first four bits."""

    IPV4 = 4
    IPV6 = 6

    @property
    def any_address(self) -> str:
        """The unspecified address: as a frontend's address it means a NodePort."""
        return "0.0.0.0" if self is Family.IPV4 else "::"

    @property
    def word(self) -> str:
        """``IPv4`` or ``IPv6``: as in ``Service.spec.ipFamilies``, and as people write it."""
        return "IPv4" if self is Family.IPV4 else "IPv6"

    @staticmethod
    def of(address_or_network: str) -> Family:
        """The family of an address or network in canonical form."""
        return Family.IPV6 if ":" in address_or_network else Family.IPV4


class Protocol(enum.StrEnum):
    """A transport protocol, named as in ``Service.spec.ports[].protocol``."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"

    # The same number as an enumeration's own, which Python computes in Python: for each look at a frontend's key.
    __hash__ = str.__hash__

    @property
    def number(self) -> int:
        """The IP protocol number."""
        return _PROTOCOL_NUMBERS[self]


_PROTOCOL_NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132}


class Client(enum.Enum):
    """Who opens a connection, seen from this node. Asked in this order: a pod's address may be the host's too."""

    POD = "pod"  #: a local pod, as the table's detect-local rule says
    NODE = "node"  #: this host: the source is one of its own addresses
    OUTSIDE = "outside"  #: anybody else


class Endpoint(NamedTuple):
    """Where packets can be sent to: an address and a port. The part of a backend that a packet shows."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Backend(NamedTuple):
    """One place that serves a service port.

    `local` says that it runs on this node: then a connection may come back to its own sender (hairpin), and
    must be masqueraded to return the same way. `weight` is how often it is picked, relative to the others in its pool.
    """

    address: str
    port: int
    local: bool
    weight: int = 1

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.address, self.port)

    def __str__(self) -> str:
        return str(self.endpoint)


@dataclass(frozen=True, slots=True)
class Affinity:
    """Clients stay with the backend they have (``Service.spec.sessionAffinity: ClientIP``).

    `name` tells whose memory it is: every pool of one service port and family has the same name, so all its
    addresses, NodePorts and scopes share what they remember. An entry is (name, client address) → backend. It
    counts only in pools that hold that backend; where it does not count, the client is given a new one.
    `seconds` is its life since the client's last *new* connection.
    """

    name: str
    seconds: int


class Pick(enum.StrEnum):
    """How a backend is picked for a connection that affinity knows nothing of. All of them heed weights."""

    RANDOM = "random"  #: by chance, as kube-proxy does
    ROUND_ROBIN = "round-robin"  #: one after the other
    LEAST_CONNECTIONS = "least-connections"  #: one with the fewest connections through this node, for its weight
    MAGLEV = "maglev"  #: by addresses and ports: the same on every node, and for most clients when backends change


@dataclass(frozen=True, slots=True)
class Pool:
    """The backends that one verdict chooses from: never empty, sorted by ``address:port``, without doubles.

    `pick` is None if nothing was asked for: then each dataplane has its own way, which with most is random.
    """

    backends: tuple[Backend, ...]
    affinity: Affinity | None = None
    pick: Pick | None = None

    @property
    def drawn(self) -> tuple[Backend, ...]:
        """The backends, each as often as its weight says, in the smallest such numbers: to draw one evenly from."""
        weights = {backend.weight for backend in self.backends}
        if len(weights) == 1:
            return self.backends
        step = math.gcd(*weights)
        return tuple(b for backend in self.backends for b in [backend] * (backend.weight // step))


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the connection to one backend of the pool, as its affinity knows, else as its pick and the weights say.

    With `masquerade` the source becomes this node's address, so that answers come back through this node.
    """

    pool: Pool
    masquerade: bool


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse at once: ICMP port unreachable, also to TCP (nobody could serve it)."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Say nothing (somebody else could serve it, but this node must not)."""


Verdict: TypeAlias = Forward | Reject | Drop


class Entrance(enum.StrEnum):
    """Which kind of a Service's addresses a frontend is."""

    CLUSTER_IP = "cluster IP"
    LOAD_BALANCER_IP = "load-balancer IP"
    EXTERNAL_IP = "external IP"
    NODE_PORT = "node port"


class FrontendKey(NamedTuple):
    """What a client connects to. An unspecified address stands for any node address: a NodePort."""

    address: str
    protocol: Protocol
    port: int

    @property
    def family(self) -> Family:
        return Family.of(self.address)

    @property
    def is_node_port(self) -> bool:
        return self.address in ("0.0.0.0", "::")

    @staticmethod
    def of(destination: Endpoint, protocol: Protocol, *, node_port: bool = False) -> FrontendKey:
        """What a client connects to that writes there: by that very address, or by that of all NodePorts."""
        address = Family.of(destination.address).any_address if node_port else destination.address
        return FrontendKey(address, protocol, destination.port)

    def __str__(self) -> str:
        return f"{Endpoint(self.address, self.port)}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Frontend:
    """One (address, protocol, port) that is served, and what happens there to each kind of client.

    `service` is its service port's name for people, ``namespace/name:port``.
    `sources` limits who may connect: networks, or None for everyone. Others are dropped before anything else.
    `serving` holds every endpoint to which existing flows may go on, even if no new one is sent there; flows from
    this frontend to anything else must be forgotten. None: flows end by themselves, whoever serves (so it is with
    TCP).
    `entrance` and `only_local` (its traffic policy is Local) say where the verdicts come from. They are for names and
    for people; what happens to packets is in the verdicts alone.
    """

    key: FrontendKey
    service: str
    pod: Verdict
    node: Verdict
    outside: Verdict
    sources: tuple[str, ...] | None = None
    serving: frozenset[Endpoint] | None = None
    entrance: Entrance = Entrance.CLUSTER_IP
    only_local: bool = False

    def verdict(self, client: Client) -> Verdict:
        if client is Client.POD:
            return self.pod
        return self.node if client is Client.NODE else self.outside

    @property
    def verdicts(self) -> tuple[Verdict, Verdict, Verdict]:
        """For POD, NODE and OUTSIDE."""
        return (self.pod, self.node, self.outside)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The distinct pools that its verdicts forward to, in the order POD, NODE, OUTSIDE."""
        found = dict.fromkeys(v.pool for v in self.verdicts if isinstance(v, Forward))
        return tuple(found)

    @property
    def answering(self) -> frozenset[Endpoint]:
        """Everybody who may answer: the backends, and who may go on with existing flows."""
        return frozenset(b.endpoint for pool in self.pools for b in pool.backends) | (self.serving or frozenset())

    def keeps(self, endpoint: Endpoint) -> bool:
        """Whether flows that go to this endpoint already may go on."""
        return self.serving is None or endpoint in self.serving


class HealthCheckPort(NamedTuple):
    """A TCP port of this host at which load balancers ask for one Service's health. `service` is its name for people.

    The controller answers there. A dataplane may let the question in, where the host's own rules would not.
    """

    family: Family
    port: int
    service: str


@dataclass(frozen=True, slots=True)
class DetectLocal:
    """How a packet of a local pod is told: by its source, or by the interface it came in on.

    `networks` lists source networks (at most one per family is used). `interface` is an interface's name, and
    with `prefix` only the beginning of it. All empty: pods are not told from other clients.
    """

    networks: tuple[str, ...] = ()
    interface: str = ""
    prefix: bool = False

    def applies_to(self, family: Family) -> bool:
        """Whether pods can be told at all among packets of this family."""
        return bool(self.interface) or self.network(family) is not None

    def network(self, family: Family) -> str | None:
        for network in self.networks:
            if Family.of(network) is family:
                return network
        return None


@dataclass(frozen=True, slots=True)
class ForwardingTable:
    """All that a node's dataplane does, for both families.

    `cluster_ips` are addresses that belong to Services whole: what no frontend takes there is rejected.
    `service_cidrs` are the networks such addresses are given from: what no one has there is dropped.
    `node_addresses` are those that NodePorts answer on (see the module's head).
    """

    frontends: Mapping[FrontendKey, Frontend] = field(default_factory=lambda: MappingProxyType({}))
    cluster_ips: frozenset[str] = frozenset()
    service_cidrs: frozenset[str] = frozenset()
    node_addresses: frozenset[str] = frozenset()
    detect_local: DetectLocal = DetectLocal()
    health_check_ports: frozenset[HealthCheckPort] = frozenset()
