"""What we say to IPVS is what pyroute2 says, where it knows how; and what the kernel says back is understood."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from pyroute2.ipvs import IPVSDest, IPVSService
from pyroute2.netlink.generic.ipvs import ipvsmsg

from dataplane.errors import InputError
from dataplane.ipvs import IpvsDataplane, kernel
from dataplane.ipvs.kernel import BRAND, PERSISTENT, Command, ServerKey, Service
from dataplane.netlink import attributes
from dataplane.table import Endpoint, Family, FrontendKey, Protocol

WEB = FrontendKey("10.96.0.10", Protocol.TCP, 80)
POD = Endpoint("10.244.1.21", 8080)


def theirs(**parts: Any) -> bytes:
    """pyroute2's attributes behind the header of generic netlink."""
    message = ipvsmsg()
    message["cmd"], message["version"] = 1, 1
    message["attrs"] = [(f"IPVS_CMD_ATTR_{name.upper()}", value.dump_nla()) for name, value in parts.items()]
    message.encode()
    return bytes(message.data[20:])


def plain(packed: bytes) -> dict[int, dict[int, bytes]]:
    """Attributes in attributes; trailing zeros do not count, as an address may be padded to a union's size."""
    return {
        outer: {inner: bytes(value).rstrip(b"\0") for inner, value in attributes.each(nest)}
        for outer, nest in attributes.each(packed)
    }


def test_a_virtual_server_is_made_in_pyroute2_s_words() -> None:
    command, ours, _ = kernel.put_service(ServerKey(Family.IPV4, frontend=WEB), Service("rr", BRAND, 0), new=True)
    service = IPVSService(
        addr=WEB.address, port=WEB.port, protocol=socket.IPPROTO_TCP, sched_name="rr",
        flags={"flags": BRAND, "mask": 0xFFFFFFFF}, timeout=0,
    )  # fmt: skip
    assert command is Command.NEW_SERVICE
    assert plain(ours) == plain(theirs(service=service))


def test_a_real_server_is_made_in_pyroute2_s_words() -> None:
    _, ours, _ = kernel.put_destination(ServerKey(Family.IPV4, frontend=WEB), POD, 3, new=True)
    dest = IPVSDest(addr=POD.address, port=POD.port, fwd_method=0, weight=3)
    assert plain(ours)[2] == {k: v for k, v in plain(theirs(dest=dest))[1 + 1].items() if k in plain(ours)[2]}


@pytest.mark.parametrize(
    "key",
    [
        ServerKey(Family.IPV4, frontend=WEB),
        ServerKey(Family.IPV6, frontend=FrontendKey("fd00::1", Protocol.UDP, 53)),
        ServerKey(Family.IPV6, mark=0x5E001234),
        ServerKey(Family.IPV4, mark=0x5E7FFFFF),
    ],
    ids=str,
)
@pytest.mark.parametrize("service", [Service("mh", BRAND, 0), Service("rr", BRAND | PERSISTENT, 10800)], ids=str)
def test_a_listed_virtual_server_is_the_one_that_was_made(key: ServerKey, service: Service) -> None:
    _, body, _ = kernel.put_service(key, service, new=True)
    assert kernel.listed_service(memoryview(bytes(4) + body)) == (key, service)


def test_unknown_schedulers_and_bits_are_named() -> None:
    with pytest.raises(InputError, match=r"scheduler 'best': expected one of rr, wrr"):
        IpvsDataplane("best")
    with pytest.raises(InputError, match=r"masquerade bit 32"):
        IpvsDataplane(masquerade_bit=32)
