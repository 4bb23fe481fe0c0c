"""A case through the C engine, in memory: each packet as bytes, beside the reference.

The engine decides first. The reference is told what chance gave, must agree on everything else, and what came out is
held against the case as in `reference_run`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from conformance.client_view import fresh_state
from conformance.reference_run import ReferenceRun
from dataplane.reference import Decision, FlowKey, Outcome, Packet, decide
from dataplane.table import Forward, ForwardingTable
from dataplane.userspace.engine import Engine
from dataplane.userspace.image import Host
from dataplane.userspace.limits import Limits
from wire import read, with_right_checksums, written

SMALL = Limits(4096, 1024, 256, 256, 1024, 1024, 256, 256, 1024, 1024)


@dataclass
class EngineRun(ReferenceRun):
    """One case's world, in which every packet that is sent goes through an engine."""

    _translated: dict[FlowKey, FlowKey] = field(default_factory=dict)  #: what a flow was made → as it was sent

    def run(self) -> list[str]:
        state = fresh_state()
        with Engine(Host(state.host_addresses, state.egress), limits=SMALL, seed=1) as self.engine:
            return super().run()

    def _program(self, table: ForwardingTable) -> None:
        super()._program(table)
        self.engine.apply(table)

    def _open(self, sent: Packet) -> Decision:
        known = sent.flow in self._state.flows
        signals = "A" if known else "S"
        result = self.engine.send(written(sent, signals), self._state.now, sent.interface)

        def chosen(count: int) -> int:
            assert result.frontend is not None
            assert result.client is not None
            verdict: Any = result.frontend.verdict(result.client)
            assert isinstance(verdict, Forward)
            return verdict.pool.backends.index(result.backend)  # type: ignore[arg-type]

        decision = decide(self.table, sent, self._state, chosen)
        assert result.outcome is decision.outcome, sent
        if decision.outcome is Outcome.FORWARD:
            translated = self._with_a_free_port(sent, decision.packet, result.data)
            assert result.data == with_right_checksums(written(translated, signals)), sent
        if not known:
            assert (result.client, result.backend) == (decision.client, decision.backend), sent
        self._state = self._state.after(sent, decision)
        return decision

    def _with_a_free_port(self, sent: Packet, translated: Packet, data: bytes) -> Packet:
        """The translated packet, with another source port if one more flow would be the same with its own.

        The reference leaves that to whoever carries it out.
        """
        port = read(data).sport
        if port != translated.source.port:
            assert self._translated.get(translated.flow, sent.flow) != sent.flow, f"{sent}: port {port} for no reason"
            translated = replace(translated, source=translated.source._replace(port=port))
        before = self._translated.setdefault(translated.flow, sent.flow)
        assert before == sent.flow or before not in self._state.flows, f"{sent} and {before} are both {translated}"
        self._translated[translated.flow] = sent.flow
        return translated
