"""The TCP clients and the server: each answer is counted, each failure has its name, and times add up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from bench.load import build
from cable import Cable, counted_by

HERE = "192.0.2.2"


@pytest.fixture
def server(cable: Cable) -> Iterator[subprocess.Popen[str]]:
    process = cable.receiver.call(
        lambda: subprocess.Popen([build.program("server"), "--name", "7"], stdout=subprocess.PIPE, text=True)
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def ask(cable: Cable, program: str = "tcp_ask", **options: object) -> dict[str, Any]:
    words = {"destination": HERE, "port": 8080, "milliseconds": 300} | options
    flat = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    figures: dict[str, Any] = json.loads(cable.sender.run([build.program(program), *flat]).stdout)
    return figures


FAILURES = ("refused", "reset", "unreachable", "timed_out")


@pytest.mark.kernel
@pytest.mark.parametrize("concurrency", [1, 50])
def test_every_connection_is_answered_once(cable: Cable, server: subprocess.Popen[str], concurrency: int) -> None:
    figures = ask(cable, concurrency=concurrency)
    assert 0 < figures["finished"] <= figures["answers"]["7"] <= figures["opened"] <= figures["finished"] + concurrency
    assert figures["asking"]["count"] == figures["answers"]["7"]
    assert [figures[failure] for failure in FAILURES] == [0, 0, 0, 0]


@pytest.mark.kernel
def test_long_lived_connections_ask_again_and_again(cable: Cable, server: subprocess.Popen[str]) -> None:
    figures = ask(cable, concurrency=3, requests=0, milliseconds=1000)
    assert figures["opened"] == figures["connecting"]["count"] == 3
    assert figures["asking"]["count"] > 3


@pytest.mark.kernel
def test_destinations_are_taken_in_turn(cable: Cable, server: subprocess.Popen[str]) -> None:
    figures = ask(cable, services=2)
    assert figures["opened"] > 2
    assert [figures[failure] for failure in FAILURES] == [0, 0, 0, 0]


@pytest.mark.kernel
def test_it_ends_after_so_many_connections(cable: Cable, server: subprocess.Popen[str]) -> None:
    figures = ask(cable, connections=20, concurrency=8, milliseconds=60_000)
    assert figures["opened"] == figures["finished"] == figures["answers"]["7"] == 20


@pytest.mark.kernel
def test_connections_come_at_the_rate_that_was_asked_for(cable: Cable, server: subprocess.Popen[str]) -> None:
    figures = ask(cable, concurrency=64, rate=100, milliseconds=1000)
    assert figures["opened"] + figures["late"] == 100


@pytest.mark.kernel
def test_who_is_refused_says_so(cable: Cable) -> None:
    figures = ask(cable)
    assert figures["refused"] > 0
    assert figures["finished"] == figures["lost"] == 0


@pytest.mark.kernel
def test_who_is_not_answered_gives_up(cable: Cable, server: subprocess.Popen[str]) -> None:
    cable.receiver.run(["ip", "route", "add", "blackhole", "192.0.2.1/32"])
    figures = ask(cable, concurrency=4, timeout=100, milliseconds=1000)
    assert figures["timed_out"] >= 4
    assert figures["finished"] == figures["lost"] == 0


@pytest.mark.kernel
def test_who_is_reset_says_so(cable: Cable, server: subprocess.Popen[str]) -> None:
    words = ["--destination", HERE, "--port", "8080", "--requests", "0", "--milliseconds", "600000"]
    asking = cable.sender.call(
        lambda: subprocess.Popen([build.program("tcp_ask"), *words], stdout=subprocess.PIPE, text=True)
    )
    # The client has asked, so it knows that it is connected.
    while "data_segs_in" not in cable.receiver.run(["ss", "-Htni", "state", "established"]).stdout:
        pass
    before = counted_by(cable.receiver, "Tcp", "OutRsts")
    server.kill()
    # One for the connection that was open, and one for the next, which is tried when the end of the first was noticed.
    while counted_by(cable.receiver, "Tcp", "OutRsts") < before + 2:
        pass
    asking.terminate()
    figures = json.loads(asking.communicate()[0])
    assert 1 <= figures["lost"] <= figures["reset"]


@pytest.mark.kernel
def test_a_stream_arrives(cable: Cable, server: subprocess.Popen[str]) -> None:
    figures = ask(cable, "tcp_stream", port=8081, streams=2)
    arrived = cable.receiver.run(["cat", "/proc/net/netstat"]).stdout
    names, values = (line.split() for line in arrived.splitlines() if line.startswith("IpExt"))
    assert 0 < figures["bytes"] <= int(values[names.index("InOctets")])
    assert figures["gigabits"] == pytest.approx(figures["bytes"] * 8 / figures["seconds"] / 1e9, rel=0.01)


@pytest.mark.kernel
def test_quantiles_are_of_what_was_measured(cable: Cable, server: subprocess.Popen[str]) -> None:
    asking = ask(cable)["asking"]
    assert sum(count for _, count in asking["slots"]) == asking["count"]
    assert 0 < asking["p50_us"] <= asking["p95_us"] <= asking["p99_us"] <= asking["max_us"] * 65 / 64
