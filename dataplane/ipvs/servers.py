"""Which virtual servers a table needs, and the mark with which each client of a frontend gets to its own.

A virtual server is a pool. All frontends of one service port that forward to the same pool (its cluster IP,
load-balancer addresses, NodePort) lead to one virtual server, by its firewall mark; and where clients fare differently,
each kind has the mark of its own pool. So there are no more virtual servers than pools, a NodePort needs none for each
address, and policies cost nothing.

Where flows do not end by themselves (`Frontend.serving`: UDP), frontends share nothing: what IPVS remembers of a flow
goes with its real server only, and another frontend may still need that one.

Session affinity is where the kernel forces another way: a virtual server with a mark cannot both remember clients and
translate ports (`ip_vs_sched_persist` keeps the port that the client wrote to). So:

    everybody at this address goes to the same pool     a virtual server at that address, which remembers clients
    a NodePort, clients with different pools, or        one with a mark, which hashes the client's address (Maglev)
    somebody else's virtual server at this address

Hashing knows no time, and a change of the pool moves few clients, but some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dataplane.ipvs import marks
from dataplane.ipvs.kernel import BRAND, HASH_PORT, PERSISTENT, ServerKey, Service
from dataplane.table import (
    Drop,
    Endpoint,
    Family,
    Frontend,
    FrontendKey,
    Pick,
    Pool,
    Protocol,
    Reject,
    Verdict,
)

HASHING = "mh"  #: the scheduler that keeps clients without remembering them
#: IPVS has no dice; what is not asked for is up to the scheduler that all virtual servers have.
PICKS = {Pick.ROUND_ROBIN: "rr", Pick.LEAST_CONNECTIONS: "lc", Pick.MAGLEV: HASHING}
_HEEDING_WEIGHTS = {"rr": "wrr", "lc": "wlc"}
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh", "fo", "ovf")


@dataclass(frozen=True, slots=True)
class Server:
    """A virtual server as it should be.

    `serving` is as in `Frontend`: who keeps flows although there are no new ones; None: all do, until flows end.
    """

    service: Service
    weights: Mapping[Endpoint, int]
    serving: frozenset[Endpoint] | None = None


class Group(NamedTuple):
    """What shares virtual servers: a service port in one family, or one frontend of it if its flows must be ended."""

    family: Family
    service: str
    protocol: Protocol
    alone: FrontendKey | None

    @staticmethod
    def of(frontend: Frontend) -> Group:
        key = frontend.key
        return Group(key.family, frontend.service, key.protocol, None if frontend.serving is None else key)

    def __str__(self) -> str:
        name = f"{self.family} {self.service} {self.protocol}"
        return name if self.alone is None else f"{name} {self.alone}"


@dataclass(slots=True)
class _Known:
    """A group's frontends, and the marks of its pools in order. Marks stay when pools come and go."""

    frontends: dict[FrontendKey, Frontend] = field(default_factory=dict)
    pools: tuple[Pool, ...] = ()
    marks: list[int] = field(default_factory=list)
    servers: dict[ServerKey, Server] = field(default_factory=dict)


class ClientMarks(NamedTuple):
    """What the maps say for each kind of client."""

    pod: int
    node: int
    outside: int


@dataclass(slots=True)
class Update:
    """What a change does: servers to make or change (None: to end), and the marks of frontends that may be others."""

    servers: dict[ServerKey, Server | None] = field(default_factory=dict)
    frontends: dict[FrontendKey, Frontend | None] = field(default_factory=dict)


class Servers:
    """The virtual servers of a table, group by group. Pure: nothing here talks to the kernel.

    At the addresses that are `taken` others have virtual servers, so ours are found by marks there.
    """

    def __init__(self, scheduler: str, taken: frozenset[FrontendKey] = frozenset()) -> None:
        self._scheduler, self.taken = scheduler, taken
        self._groups: dict[Group, _Known] = {}
        self._used_marks: dict[Family, set[int]] = {family: set() for family in Family}

    @property
    def all(self) -> Iterator[tuple[ServerKey, Server]]:
        for known in self._groups.values():
            yield from known.servers.items()

    def update(self, changed: Mapping[FrontendKey, tuple[Frontend | None, Frontend | None]]) -> Update:
        """Take over what differs between two tables."""
        update = Update()
        touched: dict[Group, _Known] = {}
        for key, (old, new) in changed.items():
            update.frontends[key] = new
            if old is not None:
                group = Group.of(old)
                touched[group] = self._groups.setdefault(group, _Known())
                touched[group].frontends.pop(key, None)
            if new is not None:
                group = Group.of(new)
                touched[group] = self._groups.setdefault(group, _Known())
                touched[group].frontends[key] = new
        for group, known in touched.items():
            self._settle(group, known, update)
        return update

    def _settle(self, group: Group, known: _Known, update: Update) -> None:
        pools = self._pools(known.frontends.values())
        if pools != known.pools:
            # Others of this group may have got another mark.
            update.frontends |= {key: f for key, f in known.frontends.items() if key not in update.frontends}
            known.pools = pools
        while len(known.marks) < len(pools):
            name = f"{group} {len(known.marks)}"
            known.marks.append(marks.mark_for(name, self._used_marks[group.family]))
            self._used_marks[group.family].add(known.marks[-1])
        before, known.servers = known.servers, dict(self._servers(group, known))
        for key in before.keys() | known.servers.keys():
            if before.get(key) != known.servers.get(key):
                update.servers[key] = known.servers.get(key)
        if not known.frontends:
            self._used_marks[group.family] -= set(known.marks)
            del self._groups[group]

    def _servers(self, group: Group, known: _Known) -> Iterator[tuple[ServerKey, Server]]:
        alone = known.frontends.get(group.alone) if group.alone else None
        serving = alone.serving if alone else None
        for mark, pool in zip(known.marks, known.pools, strict=False):
            yield ServerKey(group.family, mark), Server(self._service(pool), _weights(pool), serving)
        for key, frontend in known.frontends.items():
            pool_here = self.remembering_pool(frontend)
            if pool_here is not None and pool_here.affinity is not None:
                first = self._service(replace(pool_here, affinity=None))  # chooses for who is not known yet
                service = first._replace(flags=first.flags | PERSISTENT, seconds=pool_here.affinity.seconds)
                yield (
                    ServerKey(group.family, frontend=key),
                    Server(service, _weights(pool_here), frontend.serving),
                )

    def _service(self, pool: Pool) -> Service:
        if pool.affinity is not None:
            return Service(HASHING, BRAND, 0)
        scheduler = self._scheduler if pool.pick is None else PICKS[pool.pick]
        if len({backend.weight for backend in pool.backends}) > 1:
            scheduler = _HEEDING_WEIGHTS.get(scheduler, scheduler)
        return Service(scheduler, BRAND | (HASH_PORT if scheduler == HASHING else 0), 0)

    def client_marks(self, frontend: Frontend) -> ClientMarks:
        """For a frontend of the present table."""
        known = self._groups[Group.of(frontend)]
        remembers = self.remembering_pool(frontend) is not None

        def mark(verdict: Verdict) -> int:
            if isinstance(verdict, Reject):
                return marks.REJECT_NODE_PORT if frontend.key.is_node_port else marks.REJECT
            if isinstance(verdict, Drop):
                return marks.DROP_NODE_PORT if frontend.key.is_node_port else marks.DROP
            found = marks.DELIVER if remembers else known.marks[known.pools.index(verdict.pool)]
            return found | (marks.MASQUERADE if verdict.masquerade else 0)

        return ClientMarks(*map(mark, frontend.verdicts))

    def keys(self, frontend: Frontend) -> list[ServerKey]:
        """The virtual servers that a frontend of the present table leads to."""
        if self.remembering_pool(frontend) is not None:
            return [ServerKey(frontend.key.family, frontend=frontend.key)]
        known = self._groups[Group.of(frontend)]
        return [ServerKey(frontend.key.family, known.marks[known.pools.index(pool)]) for pool in frontend.pools]

    def remembering_pool(self, frontend: Frontend) -> Pool | None:
        """The pool of a frontend whose clients a virtual server at its own address can remember."""
        pools = frontend.pools
        if frontend.key.is_node_port or len(pools) != 1 or pools[0].affinity is None or frontend.key in self.taken:
            return None
        return pools[0]

    def _pools(self, frontends: Iterable[Frontend]) -> tuple[Pool, ...]:
        """Distinct pools that need a mark, the widest first: so each mostly keeps its mark when endpoints change."""
        found: dict[Pool, None] = {}
        for frontend in frontends:
            if self.remembering_pool(frontend) is None:
                found |= dict.fromkeys(frontend.pools)
        return tuple(sorted(found, key=lambda pool: (-len(pool.backends), pool.backends, str(pool.affinity))))


def _weights(pool: Pool) -> dict[Endpoint, int]:
    return {backend.endpoint: backend.weight for backend in pool.backends}
