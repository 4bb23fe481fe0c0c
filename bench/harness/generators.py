"""The load generators of `bench/load`, run by a world's client."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from bench.harness import cluster
from bench.harness.host import Program
from bench.harness.statistics import tells
from bench.harness.target import Target
from bench.harness.world import INTERFACE, World
from bench.load import build

Figures = dict[str, Any]


@dataclass(frozen=True)
class Packets:
    """UDP packets: how large, of how many flows, and how many a second (0: as many as it can)."""

    payload: int = 18
    flows: int = 64
    rate: int = 0


def send_packets(world: World, target: Target, packets: Packets, seconds: float) -> Figures:
    return _run(world, "udp_send", seconds, *_packet_words(world, target, packets))


def start_packets(world: World, target: Target, packets: Packets, seconds: float) -> Program:
    return _start(world, "udp_send", seconds, *_packet_words(world, target, packets))


def flood(world: World, target: Target, rate: int, seconds: float) -> Figures:
    """SYNs from everywhere."""
    words = ("--interface", INTERFACE, "--gateway", world.gateway, *target.words, "--rate", str(rate))
    return _run(world, "syn_flood", seconds, *words)


def start_flows(world: World, target: Target, seconds: float, **options: int) -> Program:
    """UDP flows of which each packet is accounted for; the options are those of udp_flows."""
    return _start(world, "udp_flows", seconds, *target.words, *_words(options))


def ask(world: World, target: Target, seconds: float, **options: int) -> Figures:
    """TCP connections that ask; the options are those of tcp_ask."""
    return _run(world, "tcp_ask", seconds, *target.words, *_words(options))


def start_asking(world: World, target: Target, seconds: float, **options: int) -> Program:
    return _start(world, "tcp_ask", seconds, *target.words, *_words(options))


def stream(world: World, address: str, port: int, seconds: float, streams: int = 1) -> Figures:
    words = ("--destination", address, "--port", str(port), "--streams", str(streams))
    return _run(world, "tcp_stream", seconds, *words)


def figures_of(program: Program, timeout: float) -> Figures:
    """Of a generator that was started, when it has come to its end."""
    result: Figures = json.loads(program.wait(timeout))
    return result


def time_at(asked: Figures, percent: int, of: str = "connecting") -> float:
    """A percentile in µs; NaN if there were too few answers to tell it. If nothing was answered, all had to wait for as
    long as was measured, or longer."""
    histogram = asked[of]
    if histogram["count"] == 0:
        return float(asked["seconds"]) * 1e6
    return float(histogram[f"p{percent}_us"]) if tells(histogram["count"], percent / 100) else math.nan


def _packet_words(world: World, target: Target, packets: Packets) -> tuple[str, ...]:
    flows = max(packets.flows, 1)
    return (
        *("--interface", INTERFACE, "--gateway", world.gateway, "--source", cluster.CLIENT),
        *target.words,
        *("--payload", str(packets.payload), "--flows", str(flows), "--rate", str(packets.rate)),
    )


def _run(world: World, program: str, seconds: float, *words: str) -> Figures:
    said = world.client.run(_command(world, program, seconds, words), timeout=seconds + 30)
    result: Figures = json.loads(said)
    return result


def _start(world: World, program: str, seconds: float, *words: str) -> Program:
    return world.client.start(_command(world, program, seconds, words))


def _command(world: World, program: str, seconds: float, words: tuple[str, ...]) -> list[str]:
    return [world.client.bring(build.program(program)), *words, "--milliseconds", str(max(1, round(seconds * 1000)))]


def _words(options: dict[str, int]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]
