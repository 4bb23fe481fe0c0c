"""What the kernel's virtual servers are, and how they come to be what they should be.

Making and unmaking are apart, because the rules change in between: what new connections need is there before the rules
send them, and what they no longer need goes after. A real server that has to go gets weight 0 first and so nothing new;
it is deleted when its connections have ended. UDP flows would never end: they go at once, unless whoever answers them
still serves (`Frontend.serving`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dataplane.interface import Drift
from dataplane.ipvs import kernel
from dataplane.ipvs.kernel import BRAND, Ipvs, Request, ServerKey, Service
from dataplane.ipvs.servers import Server
from dataplane.table import Endpoint, FrontendKey

#: Virtual servers that one call of `look` looks at.
AT_ONCE = 50


@dataclass(slots=True)
class _There:
    """A virtual server as the kernel has it, or will have it when the requests so far are carried out."""

    service: Service
    weights: dict[Endpoint, int] = field(default_factory=dict)
    serving: frozenset[Endpoint] | None = None  #: who may keep flows, as was last said; None: all


class Programmed:
    """Every virtual server of ours in this namespace. After DataplaneError or OSError it has to be read again."""

    def __init__(self, ipvs: Ipvs) -> None:
        self._ipvs = ipvs
        self._there: dict[ServerKey, _There] = {}
        self._wanted: dict[ServerKey, Server] = {}
        self._leaving: dict[ServerKey, set[Endpoint]] = {}
        self._turn: deque[ServerKey] = deque()

    def read(self) -> dict[ServerKey, Server | None]:
        """Find what is there. Returns what may have to go: every server found, as not wanted.

        Who may keep flows the kernel does not know. What was said here before still counts; of a virtual server that
        somebody before us made, all flows end by themselves.
        """
        before = self._there
        self._there = {
            key: _There(
                service,
                {e: d.weight for e, d in self._ipvs.destinations(key).items()},
                before[key].serving if key in before else None,
            )
            for key, service in self._ipvs.services().items()
            if service.flags & BRAND
        }
        self._wanted, self._leaving, self._turn = {}, {}, deque()
        return dict.fromkeys(self._there)

    def others(self) -> frozenset[FrontendKey]:
        """Where somebody else has a virtual server."""
        found = self._ipvs.services().items()
        return frozenset(key.frontend for key, service in found if key.frontend and not service.flags & BRAND)

    # --- writing ------------------------------------------------------------------------------------------------

    def prepare(self, servers: Mapping[ServerKey, Server | None]) -> int:
        """What new connections will need; returns the number of operations."""
        requests: list[Request] = []
        for key, server in servers.items():
            if server is not None:
                self._wanted[key] = server
                requests += self._made(key, server)
        self._ipvs.carry_out(requests)
        return len(requests)

    def _made(self, key: ServerKey, server: Server) -> Iterable[Request]:
        there = self._there.get(key)
        if there is None:
            there = self._there[key] = _There(server.service)
            self._turn.append(key)
            yield kernel.put_service(key, server.service, new=True)
        elif there.service != server.service:
            there.service = server.service
            yield kernel.put_service(key, server.service, new=False)
        there.serving = server.serving
        for endpoint, weight in server.weights.items():
            known = there.weights.get(endpoint)
            if known != weight:
                there.weights[endpoint] = weight
                yield kernel.put_destination(key, endpoint, weight, new=known is None)

    def finish(self, servers: Mapping[ServerKey, Server | None]) -> int:
        """What they will need no more, as far as nobody uses it; the rest later, by `reap`."""
        requests: list[Request] = []
        for key, server in servers.items():
            if server is None:
                self._wanted.pop(key, None)
            there = self._there.get(key)
            if there is None:
                continue
            if server is None and there.serving is not None:
                there.serving = frozenset()
            surplus = there.weights.keys() - (server.weights if server else ())
            self._leaving.pop(key, None)
            if surplus or server is None:
                self._leaving[key] = surplus
            for endpoint in surplus:
                if there.weights[endpoint]:
                    there.weights[endpoint] = 0
                    requests.append(kernel.put_destination(key, endpoint, 0, new=False))
        self._ipvs.carry_out(requests)
        return len(requests) + self.reap()

    def keep_flows(self) -> None:
        """From now on all flows end by themselves: their Services are still there, but somebody else serves them."""
        for there in self._there.values():
            there.serving = None

    def reap(self) -> int:
        """Delete the real servers that are leaving and have no connections any more, and what is empty then."""
        requests: list[Request] = []
        for key, leaving in list(self._leaving.items()):
            there, server = self._there[key], self._wanted.get(key)
            found = self._ipvs.destinations(key) if leaving else {}
            for endpoint in list(leaving):
                destination = found.get(endpoint)
                if destination is None or not (destination.connections and _may_finish(there, endpoint)):
                    requests.append(kernel.delete_destination(key, endpoint))
                    leaving.discard(endpoint)
                    del there.weights[endpoint]
            if leaving:
                continue
            del self._leaving[key]
            if server is None:
                requests.append(kernel.delete_service(key))
                del self._there[key]
        self._ipvs.carry_out(requests)
        return len(requests)

    def exists(self) -> bool:
        """Whether the kernel has any of ours, read or not."""
        return any(service.flags & BRAND for service in self._ipvs.services().values())

    @property
    def is_empty(self) -> bool:
        return not self._there

    def remove_all(self) -> None:
        """Every virtual server of ours, with all connections. Others' stay."""
        self.read()
        self._ipvs.carry_out([kernel.delete_service(key) for key in self._there])
        self._there, self._wanted, self._leaving, self._turn = {}, {}, {}, deque()

    # --- looking ------------------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Whether some of them are not as they were left. Every call looks at the next few."""
        for _ in range(min(AT_ONCE, len(self._turn))):
            key = self._turn.popleft()
            there = self._there.get(key)
            if there is None:
                continue  # it is gone, and so is its turn
            self._turn.append(key)
            if self._ipvs.service(key) != there.service:
                return True
            if {e: d.weight for e, d in self._ipvs.destinations(key).items()} != there.weights:
                return True
        return False

    def audit(self, wanted: Mapping[ServerKey, Server]) -> Drift:
        """All of them beside what should be there."""
        missing: list[str] = []
        foreign: list[str] = []
        found = {key: service for key, service in self._ipvs.services().items() if service.flags & BRAND}
        for key, server in wanted.items():
            if found.get(key) != server.service:
                missing.append(f"ipvs: virtual server {key} ({server.service})")
                continue
            weights = {e: d.weight for e, d in self._ipvs.destinations(key).items()}
            missing += [
                f"ipvs: real server {endpoint} of {key}"
                for endpoint, weight in server.weights.items()
                if weights.get(endpoint) != weight
            ]
            leaving = self._leaving.get(key, set())
            foreign += [
                f"ipvs: real server {endpoint} of {key}"
                for endpoint in weights.keys() - server.weights.keys() - leaving
            ]
        foreign += [f"ipvs: virtual server {key}" for key in found.keys() - wanted.keys() - self._leaving.keys()]
        return Drift(tuple(missing), tuple(foreign))


def _may_finish(there: _There, endpoint: Endpoint) -> bool:
    return there.serving is None or endpoint in there.serving
