"""What a lab and its spawner say to each other, one JSON message per packet of a SOCK_SEQPACKET socket."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class ServePod(msgspec.Struct, frozen=True, tag=True):
    """Run the built-in server as this process."""

    pod: str
    node: str
    namespace: str
    tcp_ports: tuple[int, ...]
    udp_ports: tuple[int, ...]
    drain_seconds: float


class Execute(msgspec.Struct, frozen=True, tag=True):
    """Run a program as this process."""

    argv: tuple[str, ...]
    environment: dict[str, str]  #: beside what the lab itself has


class Start(msgspec.Struct, frozen=True, tag=True):
    """To the spawner: start a process in a network namespace."""

    name: str  #: the lab's name for the process, not in use by one that runs
    netns: str  #: path of the namespace
    log: str  #: path of the file that its output is added to
    work: ServePod | Execute


class Signal(msgspec.Struct, frozen=True, tag=True):
    """To the spawner: send a signal. A process that has ended gets none, and its number hits nobody else."""

    name: str
    number: int


class Listening(msgspec.Struct, frozen=True, tag=True):
    """From a pod's process: all its ports are open."""

    name: str


class Exited(msgspec.Struct, frozen=True, tag=True):
    """From the spawner: a process has ended."""

    name: str
    code: int  #: as in `subprocess.Popen.returncode`: the exit code, or minus the signal


Order: TypeAlias = Start | Signal
Event: TypeAlias = Listening | Exited

MOST_BYTES = 65536  #: of one message; the longest command line that fits is far longer than any we use
