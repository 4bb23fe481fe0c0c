"""How much an engine can hold, and how long a flow may be silent: fixed when it is made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of everything. Memory is given by the system only as it is used.

    `flows` and `clients` (of affinity) are the two that packets fill; what happens when they are full is told in
    native/flow.c and native/affinity.c. The others bound the tables: one that does not fit is refused whole, but for
    `maglevs`.
    """

    flows: int = 262_144
    clients: int = 65_536
    frontends: int = 131_072
    pools: int = 131_072
    backends: int = 1_048_576  #: of all pools together
    serving: int = 524_288  #: endpoints to which flows may go on (UDP; SCTP if asked for), of all frontends together
    ranges: int = 65_536  #: of source and Service networks
    addresses: int = 131_072  #: cluster IPs and addresses of the node
    tallies: int = 1_048_576  #: backends counted apart, those of flows that outlive their backend among them
    members: int = 524_288  #: backends of pools with affinity
    maglevs: int = 64  #: pools with a Maglev table, of 128 kB and a millisecond to load; the others pick at random
    held: int = 0  #: fragments that wait for the first of their packet, of 2 kB; for who fetches them (Engine.released)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and then `count` in `seconds`. A burst of 0: no limit."""

    burst: int
    count: int = 1
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class AnswerRates:
    """How many rejected packets are answered: all together, and those of one sender."""

    all: Rate
    each: Rate


LINUX_ANSWERS = AnswerRates(all=Rate(burst=50, count=1000), each=Rate(burst=6))
"""What Linux does unless told otherwise (net.ipv4.icmp_msgs_burst, icmp_msgs_per_sec, icmp_ratelimit)."""

ALL_ANSWERS = AnswerRates(all=Rate(burst=0), each=Rate(burst=0))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds of silence after which a flow is forgotten."""

    udp_unreplied: float
    udp_stream: float
    opening: float  #: TCP and SCTP, until the client has answered the backend
    established: float
    closing: float  #: once one end is done, or after a reset


RFC_TIMEOUTS = Timeouts(udp_unreplied=300, udp_stream=300, opening=240, established=7440, closing=240)
"""What the RFCs ask for: 4787 REQ-5 (UDP: 5 minutes), 5382 REQ-5 (TCP: 2 hours 4 minutes, else 4 minutes)."""

LINUX_TIMEOUTS = Timeouts(udp_unreplied=30, udp_stream=120, opening=120, established=432_000, closing=120)
"""What Linux does unless told otherwise (net.netfilter.nf_conntrack_*_timeout), where it makes the difference."""
