"""The steps of a packet's way, and the words that tell them.

Every dataplane that can say how it decided says it with these: `Rule` names the question, `Step` holds what was
looked at and what followed. So the same packet is told in the same words wherever it went.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Rule(enum.Enum):
    """The questions a packet is asked, in this order. The value is the question in words."""

    FLOW = "Does it belong to a connection that is known?"
    FRONTEND = "Is its destination served here?"
    SOURCES = "May this source connect?"
    CLIENT = "Who is asking?"
    VERDICT = "What is done for such a client?"
    AFFINITY = "Has this client been here before?"
    PICK = "Which backend?"
    HAIRPIN = "Is the backend the client itself?"
    MASQUERADE = "Whom will the backend see?"
    CLUSTER_IP = "Is it an address of a Service?"
    SERVICE_CIDR = "Is it an address that a Service could have?"


@dataclass(frozen=True, slots=True)
class Step:
    """One question, what was looked at to answer it, and the answer."""

    rule: Rule
    looked_at: str
    answer: str

    def __str__(self) -> str:
        return f"{self.rule.value} {self.answer} ({self.looked_at})"
