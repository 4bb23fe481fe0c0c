"""A connection table without room. It is the namespace's own: the kernel counts for each, and the limit is for all."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.fullness import Fullness
from dataplane.conntrack_room import ConntrackRoom
from dataplane.netlink import messages
from dataplane.netlink.attributes import attribute, nested
from dataplane.netlink.channel import Channel
from dataplane.nftables import NftablesDataplane
from dataplane.table import Forward
from fault import fault
from patience import PATIENCE

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(600)]

_NEW, _DELETE = 0x100, 0x102  # IPCTNL_MSG_CT_NEW, _DELETE
_CREATE = 0x400  # NLM_F_CREATE
_AT_ONCE = 500
_MOST = 300_000  # more entries than that would take this test too long


def limit() -> int:
    return int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text())


def entries(count: int) -> Iterator[bytes]:
    """Bodies of messages: UDP flows that were answered, so that the kernel does not drop them for others' sake."""

    def both(source: bytes, port: int) -> bytes:
        def way(kind: int, one: bytes, other: bytes, ports: tuple[int, int]) -> bytes:
            addresses = nested(1, attribute(1, one), attribute(2, other))
            numbers = (attribute(2, struct.pack(">H", ports[0])), attribute(3, struct.pack(">H", ports[1])))
            return nested(kind, addresses, nested(2, attribute(1, bytes([17])), *numbers))

        there, back = way(1, source, _SERVER, (port, 53)), way(2, _SERVER, source, (53, port))
        status = struct.pack(">I", 2 | 4 | 8)  # seen a reply, assured, confirmed
        more = attribute(3, status) + attribute(7, struct.pack(">I", 3600))
        return messages.netfilter_body(socket.AF_INET, there + back + more)

    first_source, first_port = b"\xc6\x12\x00\x01", 0x1234
    template = both(first_source, first_port)
    for number in range(count):
        source = b"\xc6\x12" + struct.pack(">H", number >> 15)
        port = struct.pack(">H", 0x4000 + (number & 0x7FFF))
        yield template.replace(first_source, source).replace(struct.pack(">H", first_port), port)


_SERVER = b"\xc6\x13\x00\x01"


def fill() -> None:
    """Until the kernel takes no more."""
    bodies = list(entries(limit() + 1))
    with Channel() as channel:
        for start in range(0, len(bodies), _AT_ONCE):
            refusals = channel.requests(_NEW, bodies[start : start + _AT_ONCE], _CREATE)
            if refusals:
                return
    raise AssertionError("the table took more than its limit")


def make_room() -> None:
    with Channel() as channel:
        assert channel.requests(_DELETE, list(entries(100))) == []


@fault(
    "the connection table is full",
    place=125,
    seen="the kernel drops what begins a new connection; those that exist go on, and changes are programmed; "
    "`ConnectionTableFull` on the Node, once; `svcplane_connection_table_entries` at its limit",
    well="at once when there is room; the Node hears it after 10 s without a refusal",
    kube_proxy="the same, and says nothing",
)
def test_a_full_connection_table_hinders_new_connections_only(ipv4: Any, in_new_namespace: Callable[..., Any]) -> None:
    if limit() > _MOST:
        pytest.skip(f"net.netfilter.nf_conntrack_max is {limit()}: more entries than a test should make")
    before = ipv4.table(ipv4.frontend(ipv4.vip(1), 80, Forward(ipv4.pool(1), False)))
    after = ipv4.table(*before.frontends.values(), ipv4.frontend(ipv4.vip(2), 80, Forward(ipv4.pool(1), False)))

    def connect(to: str, seconds: float = PATIENCE) -> socket.socket:
        return socket.create_connection((to, 80), timeout=seconds)

    def work() -> None:
        for words in ("link set lo up", f"address add {ipv4.pod(1)}/32 dev lo", "route add default dev lo"):
            subprocess.run(["ip", *words.split()], check=True)
        dataplane, table = NftablesDataplane(), ConntrackRoom()
        dataplane.apply(before)
        fullness = Fullness()

        def told(now: float) -> str:
            """What people hear when they have heard of nothing but changes."""
            changed = fullness.note(table.look(), now)
            return ("full" if fullness.full else "room") if changed else ""

        assert (table.look().limit, told(now=0)) == (limit(), "")
        with socket.create_server((ipv4.pod(1), 8080)) as server, connect(ipv4.vip(1)) as existing:
            answering, _ = server.accept()
            with answering:
                fill()
                full = table.look()
                assert full.entries >= limit()
                assert told(now=1) == "full"
                with pytest.raises(TimeoutError):
                    connect(ipv4.vip(1), seconds=1.5)
                assert table.look().dropped > full.dropped
                assert told(now=2) == ""
                existing.sendall(b"still here?")
                assert answering.recv(20) == b"still here?"
                assert dataplane.apply(after).unfinished == ""
                assert not dataplane.audit()
                make_room()
                connect(ipv4.vip(2)).close()
                assert table.look().entries < limit()
                assert [told(now) for now in (2.5, 3, 12, 13)] == ["", "", "room", ""]
        table.close()
        dataplane.close()

    in_new_namespace(work)
