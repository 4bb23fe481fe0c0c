"""What kube-proxy's layout of iptables decides otherwise than the reference. docs/iptables-mode.md says why.

All differences are here: a table as that mode carries it out, and a decision of the reference as it comes out there.
"""

from __future__ import annotations

from dataclasses import replace

from dataplane.reference import Decision, Packet, State
from dataplane.table import Endpoint, Forward, ForwardingTable, Frontend


def carried_out(table: ForwardingTable) -> ForwardingTable:
    """What iptables mode makes of a table: as kube-proxy, it leaves alone what no frontend takes, and keeps nobody out
    where there is nothing to be kept out of."""
    frontends = {key: replace(f, sources=None) if _refuses_all(f, table) else f for key, f in table.frontends.items()}
    return replace(table, frontends=frontends, cluster_ips=frozenset(), service_cidrs=frozenset())


def _refuses_all(frontend: Frontend, table: ForwardingTable) -> bool:
    told = table.detect_local.applies_to(frontend.key.family)
    verdicts = frontend.verdicts if told else frontend.verdicts[1:]
    return not any(isinstance(verdict, Forward) for verdict in verdicts)


def translated(decision: Decision, sent: Packet, known: State) -> Decision:
    """Whoever reaches himself is masqueraded, also if he is on another node."""
    backend = decision.backend
    if backend is None or decision.masquerade or backend.address != sent.source.address:
        return decision
    if sent.interface is not None and backend.address in known.host_addresses:
        return decision  # it stays on this host
    source = Endpoint(known.egress[sent.family], sent.source.port)
    return replace(decision, masquerade=True, packet=replace(decision.packet, source=source))
