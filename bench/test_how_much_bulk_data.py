"""How much data goes through one connection, and how fast is one that lives long?"""

from __future__ import annotations

import pytest

from bench.harness import cluster
from bench.harness.arena import SENDER_IS_THE_LIMIT, Arena, Sample
from bench.harness.check import complain
from bench.harness.entrant import Entrant
from bench.harness.generators import ask, stream
from bench.harness.record import Record
from bench.harness.results import Metric
from bench.test_how_fast_are_connections import BUSY

pytestmark = pytest.mark.thorough
SCALES = (1000,)  #: numbers of Services that tell enough
THROUGHPUT = Metric("How much data in bulk?", "acknowledged", "Gb/s", True, "one TCP stream")
REQUESTS = Metric("How fast is a long-lived connection?", "answered", "requests/s", True, "one connection")


def bulk(entrant: Entrant, seconds: float) -> Sample:
    ceiling = entrant.contender.is_ceiling
    where = (cluster.BACKENDS[0], cluster.STREAM_PORT) if ceiling else (cluster.STREAM, 5001)
    sent = stream(entrant.world, *where, seconds)
    return {THROUGHPUT: sent["gigabits"], SENDER_IS_THE_LIMIT: float(sent["busy"] > BUSY)}


def long_lived(entrant: Entrant, seconds: float) -> Sample:
    asked = ask(entrant.world, entrant.target(), seconds, requests=0)
    complain(asked, entrant.target(), some_expected=False)
    return {REQUESTS: asked["asking"]["count"] / asked["seconds"]}


def test_how_much_bulk_data(stage: Arena, record: Record) -> None:
    record.add(stage.measure([THROUGHPUT], bulk, asides=False))


def test_how_fast_a_long_lived_connection_is(stage: Arena, record: Record) -> None:
    record.add(stage.measure([REQUESTS], long_lived, asides=False))
