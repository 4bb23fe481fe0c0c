"""Beginnings of connections from everywhere, many more than there is room for: those that are established go on."""

from __future__ import annotations

import random

from dataplane.reference import Outcome
from small_node import LIMITS, Node

CLIENT, SERVICE = "10.244.1.10", "10.96.0.10"
ESTABLISHED = 20
FLOOD = 6 * LIMITS.flows


def test_established_connections_outlive_a_flood_of_syns(node: Node) -> None:
    backends = {}
    for port in range(40000, 40000 + ESTABLISHED):
        backend = node.send(CLIENT, port, SERVICE, 80).backend
        assert backend is not None
        backends[port] = backend.endpoint
        answer = node.send(backend.endpoint.address, backend.endpoint.port, CLIENT, port, signals="SA")
        assert answer.reply
        assert node.send(CLIENT, port, SERVICE, 80, signals="A").outcome is Outcome.FORWARD
    chance = random.Random(1)
    for _ in range(FLOOD):
        source = ".".join(str(chance.randrange(1, 255)) for _ in range(4))
        node.send(source, chance.randrange(1024, 65536), SERVICE, 80)
        node.now += 0.001
    counted = node.engine.counters
    assert counted.flows["evicted"] > LIMITS.flows, "there was no room"
    assert counted.flows["used"] <= LIMITS.flows
    for port, endpoint in backends.items():
        result = node.send(CLIENT, port, SERVICE, 80, signals="A")
        assert (result.outcome, result.new) == (Outcome.FORWARD, False)
        answer = node.send(endpoint.address, endpoint.port, CLIENT, port, signals="A")
        assert (answer.outcome, answer.reply) == (Outcome.FORWARD, True)
