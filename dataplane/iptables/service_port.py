"""The rules of one service port: everything that its frontends need, in one family.

A frontend's verdicts for pods, this node and others become kube-proxy's chains:

    cluster IP ─────────────► KUBE-SVC / KUBE-SVL       (masquerading asked for in that chain)
    any other ──► [KUBE-FW] ► KUBE-EXT ► KUBE-SVC / KUBE-SVL

A cluster IP whose verdicts differ by more than masquerading goes through a KUBE-EXT chain as well; Kubernetes has no
such Services, but the ForwardingTable may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from dataplane.iptables import rules, skeleton
from dataplane.iptables.chain import NAT, Chain, Rules, Setting
from dataplane.iptables.names import CLUSTER, EXTERNAL, FIREWALL, LOCAL, ChainNames
from dataplane.iptables.pools import endpoint_name, endpoint_rules, pool_rules
from dataplane.iptables.rules import comment, jump, rule
from dataplane.table import Backend, Drop, Entrance, Forward, Frontend, FrontendKey, Pool, Protocol, Reject, Verdict

_MARK = jump(skeleton.MARK_MASQUERADE)

_REMARKS = {
    Entrance.CLUSTER_IP: " cluster IP",
    Entrance.LOAD_BALANCER_IP: " loadbalancer IP",
    Entrance.EXTERNAL_IP: " external IP",
    Entrance.NODE_PORT: "",
}
_ORDER = list(Entrance)


class ServicePort(NamedTuple):
    """What frontends must have in common to share chains. `service` is ``namespace/name:port``."""

    service: str
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class ServicePortRules:
    """`chains` are its own; `shared` what it adds to chains that all have. `endpoints` counts its backends."""

    chains: Mapping[Chain, Rules] = field(default_factory=dict)
    shared: Mapping[Chain, Rules] = field(default_factory=dict)
    endpoints: int = 0


class _To(NamedTuple):
    """A Forward: the pool's chain, and whether to masquerade."""

    chain: str
    masquerade: bool


_Way: TypeAlias = _To | Reject | Drop
_Ways: TypeAlias = tuple[_Way, _Way, _Way]
"""For POD, NODE and OUTSIDE."""


def service_port_rules(
    port: ServicePort, frontends: Iterable[Frontend], setting: Setting, *, comments: bool
) -> ServicePortRules:
    """All rules of one service port. Without `comments` the many rules that pick endpoints have none."""
    writer = _Writer(port, setting, comments)
    for frontend in _in_order_of_entrance(frontends):
        writer.add(frontend)
    return writer.rules()


def shared_rules(
    port: ServicePort, frontends: Iterable[Frontend], setting: Setting, key: FrontendKey
) -> list[tuple[Chain, str]]:
    """Of what a service port adds to shared chains, the rules of the one frontend with this key."""
    writer = _Writer(port, setting, comments=True)
    added = {frontend.key: writer.add(frontend) for frontend in _in_order_of_entrance(frontends)}
    return added[key]


def _in_order_of_entrance(frontends: Iterable[Frontend]) -> list[Frontend]:
    return sorted(frontends, key=lambda f: (_ORDER.index(_entrance(f)), f.key))


def _entrance(frontend: Frontend) -> Entrance:
    return Entrance.NODE_PORT if frontend.key.is_node_port else frontend.entrance


class _Writer:
    """Writes frontend after frontend, and gives names to what they need on the way."""

    def __init__(self, port: ServicePort, setting: Setting, comments: bool) -> None:
        self._service, self._protocol = port
        self._setting, self._comments = setting, comments
        self._names = ChainNames(*port)
        self._chains: dict[str, list[str]] = {}
        self._pools: dict[str, Pool] = {}
        self._shared: list[tuple[Chain, str]] = []

    def rules(self) -> ServicePortRules:
        chains = dict(self._chains)
        for name, pool in self._pools.items():
            endpoints = [endpoint_name(self._names, backend, pool.affinity) for backend in pool.backends]
            picking = pool_rules(pool, self._service, endpoints, comments=self._comments)
            chains[name] = [*chains.get(name, ()), *picking]
            for endpoint, backend in zip(endpoints, pool.backends, strict=True):
                if endpoint not in chains:
                    chains[endpoint] = list(self._endpoint(endpoint, backend, remembers=pool.affinity is not None))
        shared: dict[Chain, list[str]] = {}
        for chain, line in self._shared:
            shared.setdefault(chain, []).append(line)
        return ServicePortRules(
            {Chain(NAT, name): tuple(lines) for name, lines in chains.items()},
            {chain: tuple(lines) for chain, lines in shared.items()},
            len({b.endpoint for pool in self._pools.values() for b in pool.backends}),
        )

    def _endpoint(self, name: str, backend: Backend, *, remembers: bool) -> Rules:
        return endpoint_rules(
            name, backend, self._protocol, self._service, remembers=remembers, comments=self._comments
        )

    # --- one frontend -------------------------------------------------------------------------------------------

    def add(self, frontend: Frontend) -> list[tuple[Chain, str]]:
        """Write the frontend's rules; returns those for chains that all service ports share."""
        start = len(self._shared)
        ways = self._ways(frontend)
        forwards = any(isinstance(way, _To) for way in ways)
        limited = forwards and frontend.sources is not None
        if forwards:
            self._capture(frontend, ways, limited=limited)
        self._refuse(frontend, ways)
        return self._shared[start:]

    def _ways(self, frontend: Frontend) -> _Ways:
        told = self._setting.pods_are_told
        outside = self._way(frontend.outside, local=frontend.only_local)
        inside_local = frontend.only_local and _entrance(frontend) is Entrance.CLUSTER_IP
        # Where nobody can be known for a pod, pods are as anybody else.
        pod = self._way(frontend.pod, local=inside_local) if told else outside
        return (pod, self._way(frontend.node, local=inside_local), outside)

    def _way(self, verdict: Verdict, *, local: bool) -> _Way:
        if not isinstance(verdict, Forward):
            return verdict
        name = self._names.name(LOCAL if local else CLUSTER, verdict.pool)
        self._pools.setdefault(name, verdict.pool)
        return _To(name, verdict.masquerade)

    def _capture(self, frontend: Frontend, ways: _Ways, *, limited: bool) -> None:
        direct = None
        if not limited and _entrance(frontend) is Entrance.CLUSTER_IP:
            direct = self._direct(frontend, ways)
        target = direct or self._entry(ways)
        if limited:
            target = self._firewall(frontend, ways, target)
        entrance = _entrance(frontend)
        chain = skeleton.NODE_PORTS if entrance is Entrance.NODE_PORT else skeleton.SERVICES
        self._add(chain, self._to(frontend, self._service + _REMARKS[entrance]), jump(target))

    def _direct(self, frontend: Frontend, ways: _Ways) -> str | None:
        """The pool's chain, if all clients go there and only masquerading tells pods from others."""
        pod, node, outside = ways
        if not isinstance(pod, _To) or node != outside or not isinstance(node, _To) or pod.chain != node.chain:
            return None
        if pod.masquerade and not node.masquerade:
            return None
        if node.masquerade:
            sender = "" if pod.masquerade else self._pods(invert=True)
            match = self._to(frontend, f"{self._service} cluster IP", sender=sender)
            self._chains.setdefault(pod.chain, []).append(rule(match, _MARK))
        return pod.chain

    def _entry(self, ways: _Ways) -> str:
        name = self._names.name(EXTERNAL, ways)
        if name not in self._chains:
            self._chains[name] = list(self._entry_rules(ways))
        return name

    def _entry_rules(self, ways: _Ways) -> Iterator[str]:
        pod, node, outside = ways
        traffic = f"traffic for {self._service} external destinations"
        if not pod == node == outside:
            if self._setting.pods_are_told:
                yield from self._turn(pod, self._pods(), "", f"masquerade pod {traffic}", f"pod {traffic}")
            yield from self._turn(
                node, "", rules.FROM_THIS_HOST, f"masquerade LOCAL {traffic}", f"route LOCAL {traffic}"
            )
        if isinstance(outside, _To):
            if outside.masquerade:
                yield rule(comment(f"masquerade {traffic}"), _MARK)
            yield jump(outside.chain)

    def _turn(self, way: _Way, sender: str, match: str, marking: str, routing: str) -> Iterator[str]:
        """These clients go this way, and come no further."""
        if not isinstance(way, _To):
            yield rule(sender, comment(routing), match, rules.RETURN)
            return
        if way.masquerade:
            yield rule(sender, comment(marking), match, _MARK)
        yield rule(sender, comment(routing), match, jump(way.chain))

    def _firewall(self, frontend: Frontend, ways: _Ways, target: str) -> str:
        """Only allowed sources go on; what is left untranslated is dropped in the filter."""
        sources = frontend.sources or ()
        name = self._names.name(FIREWALL, (sources, target))
        remark = comment(f"{self._service} loadbalancer IP")
        others = comment(f"other traffic to {self._service} will be dropped by KUBE-PROXY-FIREWALL")
        self._chains[name] = [*(rule(rules.source(s), remark, jump(target)) for s in sources), others]
        unaccepted = f"{self._service} traffic not accepted by {name}"
        for match in self._arriving(frontend, unaccepted):
            if any(isinstance(way, Reject) for way in ways):  # then not all that is untranslated was kept out
                for source in sources:
                    self._add(skeleton.SOURCE_LIMITS, rules.source(source), match, rules.RETURN)
            self._add(skeleton.SOURCE_LIMITS, match, rules.DROP)
        return name

    def _refuse(self, frontend: Frontend, ways: _Ways) -> None:
        """What is not translated is refused in the filter, as its sender deserves."""
        inside = _entrance(frontend) is Entrance.CLUSTER_IP
        chain = skeleton.REFUSED if inside else skeleton.REFUSED_EXTERNAL
        kinds = {type(way) for way in ways} - {_To}
        if len(kinds) > 1:
            senders = (self._pods(), "") if self._setting.pods_are_told else (None, "")
            for way, sender, more in zip(ways, (*senders, ""), ("", rules.FROM_THIS_HOST, ""), strict=True):
                if sender is not None and not isinstance(way, _To):
                    self._refuse_as(chain, frontend, way, sender, more)
        elif kinds:
            self._refuse_as(chain, frontend, next(way for way in ways if not isinstance(way, _To)))

    def _refuse_as(
        self, chain: Chain, frontend: Frontend, way: Reject | Drop, sender: str = "", more: str = ""
    ) -> None:
        dropped = isinstance(way, Drop)
        remark = f"{self._service} has no local endpoints" if dropped else f"{self._service} has no endpoints"
        target = rules.DROP if dropped else rules.reject(self._setting.family)
        for match in self._arriving(frontend, remark, sender=sender, more=more):
            self._add(chain, match, target)

    # --- matches ------------------------------------------------------------------------------------------------

    def _to(self, frontend: Frontend, remark: str, *, sender: str = "") -> str:
        """In nat: packets for the frontend. Who comes to KUBE-NODEPORTS has been asked for the address already."""
        key = frontend.key
        address = "" if key.is_node_port else rules.destination(key.address)
        return rule(*_in_order(sender, address), rules.to_port(key.protocol, key.port, remark))

    def _arriving(self, frontend: Frontend, remark: str, *, sender: str = "", more: str = "") -> Iterator[str]:
        """In the filter: packets for the frontend, wherever it is."""
        key = frontend.key
        here = [(rules.destination(key.address), "")]
        for address, match in self._setting.node_port_destinations() if key.is_node_port else here:
            port = rules.to_port(key.protocol, key.port, remark, more=rule(match, more))
            yield rule(*_in_order(sender, address), port)

    def _pods(self, *, invert: bool = False) -> str:
        return rules.from_pod(self._setting.detect_local, self._setting.family, invert=invert)

    def _add(self, chain: Chain, *parts: str) -> None:
        self._shared.append((chain, rule(*parts)))


def _in_order(sender: str, address: str) -> tuple[str, str]:
    """An interface comes behind the addresses."""
    return (sender, address) if "-s " in sender else (address, sender)
