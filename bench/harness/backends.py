"""What runs on the backends for as long as a world stands: a server that answers, and a sink that counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from bench.harness import cluster
from bench.harness.host import CommandFailedError, Host, Program
from bench.load import build


class Sinks:
    """The sinks of all backends, taken together."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = programs

    def delivered(self) -> list[int]:
        """How many packets each has counted so far."""
        counted = []
        for program in self._programs:
            program.write_line()
            figures = json.loads(program.read_line())
            if figures["damaged"]:
                raise CommandFailedError(f"{figures['damaged']} packets arrived damaged")
            counted.append(int(figures["delivered"]))
        return counted


@contextmanager
def serving(backends: Sequence[Host]) -> Iterator[Sinks]:
    """Start them; backend number n answers with n, from 1."""
    with ExitStack() as stack:

        def start(host: Host, name: str, *options: str) -> Program:
            program = host.start([host.bring(build.program(name)), *options])
            stack.callback(program.stop)
            if program.read_line() != "ready\n":
                raise CommandFailedError(f"{host.name}: {name} did not start")
            return program

        for number, host in enumerate(backends, 1):
            start(host, "server", "--name", str(number))
        yield Sinks([start(host, "udp_sink", "--port", str(cluster.ASK_PORT)) for host in backends])
