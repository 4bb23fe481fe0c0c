"""What if twice as many packets come as can be taken, for half a minute?

First as many as the client can send show what can be taken; then twice that rate is offered. Meanwhile a few flows ask
and are answered, as far as they get through: how long that takes shows how long packets wait in queues. Whatever is
lost should be told by a counter: of an interface, of a packet queue, of the agent. And when it is over, all should be
as before: the recovery is the time until the last packet is lost of those that are sent then.
"""

from __future__ import annotations

import json

import pytest

from bench.harness.arena import Arena, Sample
from bench.harness.entrant import Entrant
from bench.harness.generators import Packets, figures_of, send_packets, start_flows, start_packets
from bench.harness.host import Host
from bench.harness.record import Record
from bench.harness.results import Metric

SCALES = (1000,)  #: numbers of Services that tell enough
QUESTION = "What if it is too much?"
TIMES = 2  #: what can be taken
SECONDS, QUICK_SECONDS = 30, 1
ASKING = {"flows": 16, "rate": 500}
AFTERWARDS = 1.5  #: seconds that are looked at for losses


def _metric(name: str, unit: str, *, more_is_better: bool = False, compared: bool = True) -> Metric:
    return Metric(QUESTION, name, unit, more_is_better, f"{TIMES} times what can be taken", compared)


DELIVERED = _metric("delivered", "packets/s", more_is_better=True)
OFFERED = _metric("offered", "times what can be taken", compared=False)
WAIT = {name: _metric(f"round trip, {name}", "ms") for name in ("p50", "p99")}
UNTOLD = _metric("lost, and no counter tells", "% of what was lost", compared=False)
RECOVERY = _metric("recovered after", "ms")
GROWTH = _metric("memory grown by", "MB", compared=False)
METRICS = (DELIVERED, OFFERED, *WAIT.values(), UNTOLD, RECOVERY, GROWTH)


def too_much(entrant: Entrant, seconds: int) -> Sample:
    world, target = entrant.world, entrant.target()
    before = sum(entrant.sinks.delivered())
    most = send_packets(world, target, Packets(), 0.5)
    taken = (sum(entrant.sinks.delivered()) - before) / most["seconds"]

    rate, memory = round(TIMES * taken), entrant.resident()
    told, before = drops(entrant), sum(entrant.sinks.delivered())
    asking = start_flows(world, entrant.flows_target(), seconds, **ASKING)
    sent = figures_of(start_packets(world, target, Packets(rate=rate), seconds), seconds + 30)
    grown = (entrant.resident() or 0) - (memory or 0)
    afterwards = start_flows(world, entrant.flows_target(), AFTERWARDS, **ASKING)
    asked = figures_of(asking, 30)
    recovered = figures_of(afterwards, 30)
    delivered = sum(entrant.sinks.delivered()) - before
    lost = sent["offered"] - delivered + asked["lost"] + recovered["lost"]
    untold = lost - (sent["offered"] - sent["taken"]) - (drops(entrant) - told)
    return {
        DELIVERED: delivered / sent["seconds"],
        OFFERED: sent["offered"] / sent["seconds"] / taken,
        UNTOLD: 100 * max(untold, 0) / max(lost, 1),  # frames are lost beside the packets, too
        RECOVERY: 1000 * recovered["last_lost"],
        GROWTH: grown,
        **{metric: asked["waited"][f"{name}_us"] / 1000 for name, metric in WAIT.items()},
    }


def drops(entrant: Entrant) -> float:
    """All that counters have told so far."""
    world = entrant.world
    of_interfaces = sum(_of_interfaces(host) for host in (world.node, *world.backends))
    if "userspace" not in entrant.name:
        return of_interfaces
    return (
        of_interfaces
        + entrant.counted("svcplane_port_missed_total")
        + entrant.counted("svcplane_port_packets_total", 'outcome="lost"')
        + entrant.counted("svcplane_engine_drops_total")
    )


def _of_interfaces(host: Host) -> int:
    links = json.loads(host.run(["ip", "-json", "-statistics", "link", "show"]))
    return sum(link["stats64"][way]["dropped"] for link in links for way in ("rx", "tx"))


@pytest.mark.takes_minutes
def test_what_if_it_is_too_much(stage: Arena, record: Record, request: pytest.FixtureRequest) -> None:
    seconds = QUICK_SECONDS if request.config.getoption("--quick") else SECONDS
    record.add(
        stage.measure(METRICS, lambda entrant, _: too_much(entrant, seconds), warm_up=False, rounds=1, asides=False)
    )
