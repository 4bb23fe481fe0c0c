"""Two machines and nothing between them, for what sends and what receives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.network.links import Links, inside
from lab.network.namespace import Namespace


@dataclass(frozen=True)
class Cable:
    """Two machines and nothing between them."""

    sender: Namespace
    receiver: Namespace
    hardware_address: str  #: the receiver's


def counted_by(machine: Namespace, protocol: str, name: str) -> int:
    """What its kernel has counted (/proc/net/snmp), as ``OutRsts`` of ``Tcp``."""

    def read() -> int:
        lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
        names, values = (line.split() for line in lines if line.startswith(f"{protocol}: "))
        return int(dict(zip(names, values, strict=True))[name])

    return machine.call(read)


@contextmanager
def plugged_in() -> Iterator[Cable]:
    """192.0.2.1 at the sender's end; 192.0.2.2 and 192.0.2.3 at the receiver's."""
    lab = f"load-{os.getpid()}"
    ends = Cable(Namespace(lab, "a").create(), Namespace(lab, "b").create(), "02:00:00:00:00:02")

    def send(links: Links) -> None:
        links.add_veth("eth0", ends.receiver, "eth0", mac="02:00:00:00:00:01", peer_mac=ends.hardware_address)
        links.add_address("eth0", "192.0.2.1/24")
        links.up("eth0")

    def receive(links: Links) -> None:
        for number in (2, 3):
            links.add_address("eth0", f"192.0.2.{number}/24")
        links.up("eth0")

    inside(ends.sender, send)
    inside(ends.receiver, receive)
    for end in (ends.sender, ends.receiver):
        # Until the kernel has seen that both ends are up, it drops what is sent.
        while "noqueue" not in end.run(["ip", "link", "show", "eth0"]).stdout:
            pass
    try:
        yield ends
    finally:
        ends.sender.delete()
        ends.receiver.delete()
