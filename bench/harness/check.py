"""Does a contender answer right? Asked before and after it is measured: who is wrong is broken, however fast."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.harness import cluster
from bench.harness.generators import Figures, Packets, ask, send_packets
from bench.harness.target import Target

if TYPE_CHECKING:
    from bench.harness.entrant import Entrant

_CONNECTIONS = 100  #: so that a backend of four that is not asked is not chance: that would happen once in 10^12
_PACKETS_PER_SECOND = 4000
_SECONDS = 0.15  #: of packets
_ON_THEIR_WAY = 1.0  #: seconds that packets may take, on a machine that does other things too
_LIMIT = 10.0  #: seconds for all connections
_FAILURES = ("refused", "reset", "unreachable", "timed_out")


class WrongAnswerError(Exception):
    """Something was not answered, or not by whom it should have been."""


class TooLateError(WrongAnswerError):
    """What should have happened had not, when the time for it was over."""


def check_something(entrant: Entrant) -> None:
    """Whether anything is answered yet. WrongAnswerError if not; takes a second at most."""
    target = entrant.target()
    complain(ask(entrant.world, target, 1.0, concurrency=4, connections=4, timeout=300), target)


def check(entrant: Entrant) -> None:
    """Over TCP: every Service that is asked answers, and of the backends each one does. Over UDP: nothing is lost.

    WrongAnswerError if not.
    """
    target = entrant.target()
    asked = ask(entrant.world, target, _LIMIT, concurrency=8, connections=_CONNECTIONS, timeout=2000)
    complain(asked, target)
    everybody = {str(number) for number in range(1, len(cluster.BACKENDS) + 1)}
    if set(asked["answers"]) != everybody:
        raise WrongAnswerError(
            f"{_CONNECTIONS} connections were answered by backends {', '.join(sorted(asked['answers']))} only"
        )
    last = target.last()  # it comes last, too, where they are programmed in order
    complain(ask(entrant.world, last, _LIMIT, connections=4, timeout=2000), last)

    before = sum(entrant.sinks.delivered())
    packets = Packets(rate=_PACKETS_PER_SECOND, flows=max(64, min(target.services, 1000)))
    sent = send_packets(entrant.world, target, packets, _SECONDS)
    patience = time.monotonic() + _ON_THEIR_WAY
    while (delivered := sum(entrant.sinks.delivered()) - before) < sent["taken"] and time.monotonic() < patience:
        time.sleep(0.01)
    if delivered != sent["taken"]:
        raise WrongAnswerError(f"{delivered} UDP packets of {sent['taken']} arrived")


def complain(figures: Figures, target: Target, *, some_expected: bool = True) -> None:
    """WrongAnswerError if a connection failed; or if none was answered, unless there was no time to expect one."""
    failed = {name: figures[name] for name in _FAILURES if figures[name]}
    if failed or (some_expected and not figures["asking"]["count"]):
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in failed.items()) or "none was answered"
        raise WrongAnswerError(f"connections to {target.address} and on, port {target.port}: {told}")
