"""One packet's story: the same content as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from controller.explanation import Choice
from dataplane.reference import Decision, Outcome, Packet
from svcplane.question import Sender, Target

_MEANING = {
    Outcome.FORWARD: "forwarded",
    Outcome.REJECT: "rejected: the client is told at once (connection refused)",
    Outcome.DROP: "dropped: the client hears nothing and waits until it gives up",
    Outcome.PASS: "passed on as it is: no Service is concerned",
}


@dataclass(frozen=True, slots=True)
class Story:
    sender: Sender
    target: Target
    node: str  #: the node that decides
    packet: Packet
    decision: Decision
    choice: Choice | None  #: the endpoints that could be picked; None where no Service is concerned

    def as_json(self) -> dict[str, Any]:
        decision, choice = self.decision, self.choice
        told: dict[str, Any] = {
            "from": self.sender.name,
            "to": self.target.name,
            "node": self.node,
            "packet": _packet(self.packet),
            "outcome": decision.outcome.value,
            "service": decision.frontend.service if decision.frontend else None,
            "frontend": str(decision.frontend.key) if decision.frontend else None,
            "client": decision.client.value if decision.client else None,
            "policy": choice.policy if choice else None,
            "endpoints": [
                {
                    "address": str(e.endpoint),
                    "name": e.name or None,
                    "node": e.node or None,
                    "zone": e.zone or None,
                    "counts": e.why_not is None,
                    "whyNot": e.why_not,
                }
                for e in (choice.endpoints if choice else ())
            ],
            "steps": [{"question": s.rule.value, "lookedAt": s.looked_at, "answer": s.answer} for s in decision.steps],
        }
        if decision.backend is not None:
            told |= {
                "backend": str(decision.backend),
                "probability": float(decision.probability),
                "masquerade": decision.masquerade,
                "sent": _packet(decision.packet),
                "answer": _packet(decision.packet.reply),
                "answerDelivered": _packet(self.packet.reply),
            }
        return told

    def as_text(self) -> Iterator[str]:
        """Lines without their ends."""
        yield f"{self.sender.name} opens a {self.packet.protocol} connection to {self.target.name}."
        yield f"Node {self.node} sees the first packet: {self.packet.source} → {self.packet.destination}"
        if self.choice is not None:
            yield ""
            yield from self._endpoints(self.choice)
        yield ""
        yield "What the node asks itself"
        for number, step in enumerate(self.decision.steps, 1):
            yield f"  {number}. {step.rule.value} {step.answer}"
            yield f"     ({step.looked_at})"
        yield ""
        yield f"So it is {_MEANING[self.decision.outcome]}"
        yield from self._rewrites()

    def _endpoints(self, choice: Choice) -> Iterator[str]:
        counting = sum(e.why_not is None for e in choice.endpoints)
        yield f"Endpoints: {counting} of {len(choice.endpoints)} count for this client. {choice.policy}"
        width = max((len(str(e.endpoint)) for e in choice.endpoints), default=0)
        for endpoint in choice.endpoints:
            place = " ".join(filter(None, (endpoint.name, f"on {endpoint.node}" if endpoint.node else "")))
            reason = f"no, {endpoint.why_not}" if endpoint.why_not is not None else ""
            about = ": ".join(filter(None, (place, reason)))
            mark = "-" if reason else "+"
            yield f"  {mark} {endpoint.endpoint!s:<{width}}  {about}".rstrip()

    def _rewrites(self) -> Iterator[str]:
        decision = self.decision
        if decision.backend is None:
            return
        sent = decision.packet
        yield f"  to {decision.backend} {_likelihood(decision.probability)}"
        yield f"  there:  {_way(self.packet)}   becomes   {_way(sent)}"
        yield f"  back:   {_way(sent.reply)}   becomes   {_way(self.packet.reply)}"
        yield "Every later packet of this connection goes the same way: the node remembers it."
        if decision.masquerade:
            yield "(A node may give a masqueraded connection another source port than the client's.)"


def _way(packet: Packet) -> str:
    return f"{packet.source} → {packet.destination}"


def _likelihood(probability: Fraction) -> str:
    if probability == 1:
        return "(nothing was left to chance)"
    return f"(by chance: {probability.numerator} in {probability.denominator})"


def _packet(packet: Packet) -> dict[str, Any]:
    return {"source": str(packet.source), "destination": str(packet.destination), "protocol": str(packet.protocol)}
