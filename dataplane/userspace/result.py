"""What became of a packet, in the words of dataplane.reference.

The engine answers with numbers (native/decision.h). The enums there and here are in the same order, and a test
holds them together.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dataplane.reference import Outcome
from dataplane.steps import Rule
from dataplane.table import Backend, Client, Frontend

OUTCOMES = tuple(Outcome)
RULES = (None, *Rule)
CLIENTS = tuple(Client)


class Reason(enum.Enum):
    """Why a packet was dropped. The value says it in words."""

    MALFORMED = "its headers contradict its length or one another"
    TOO_DEEP = "it has more extension headers than are looked at"
    FRAGMENT = "it is a piece of a packet that was dropped, did not begin here, or cannot be translated in pieces"
    SOURCE_REFUSED = "the Service does not allow this source"
    POLICY = "there are endpoints, but none that this node may send it to"
    NO_SERVICE = "it is for a cluster IP that no Service has"
    NOT_OPENING = "it belongs to no connection that is known, and does not begin one"
    FLOWS_FULL = "there is no room for another connection"
    NO_PORT = "no source port is free"
    NO_EGRESS = "it has to be masqueraded, but this node has no address of its family"
    BAD_CHECKSUM = "it was damaged on its way, and translating it would hide that"


REASONS = (None, *Reason)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one packet.

    `rule` is the question whose answer decided (None: the packet could not be read, or was not IP). `frontend`,
    `client` and `backend` are those that were asked for; for a packet of a known flow, none was. `reply` says that
    it went from the backend to the client, `new` that it began a flow, `remembered` that affinity chose the
    backend, `elsewhere` that it remembers one which is not among those to choose from. `data` is the packet as it
    left; if it was rejected and `answered`, it is the answer, to be sent back.
    """

    outcome: Outcome
    rule: Rule | None
    reason: Reason | None
    client: Client | None
    frontend: Frontend | None
    backend: Backend | None
    reply: bool
    new: bool
    remembered: bool
    hairpin: bool
    masquerade: bool
    answered: bool
    elsewhere: bool
    data: bytes
