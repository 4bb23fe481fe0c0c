"""What is said of the userspace mode on the command line."""

from __future__ import annotations

import pytest

from dataplane.errors import InputError
from dataplane.netlink.routing import LinkState
from dataplane.userspace.xdp.options import XdpOptions
from dataplane.userspace.xdp.port import Where
from svcplane.userspace_flags import UserspaceFlags


def test_without_anything_packets_come_from_queues() -> None:
    assert UserspaceFlags().xdp() is None


def test_af_xdp_is_told_which_interfaces_and_how() -> None:
    flags = UserspaceFlags("af_xdp", ("pod-*", "eth0"), "generic", 20)
    assert flags.xdp() == XdpOptions(("pod-*", "eth0"), Where.GENERIC, 20)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (UserspaceFlags("dpdk"), "--userspace-port 'dpdk': expected nfqueue, af_xdp or nfqueue_python"),
        (UserspaceFlags("af_xdp", xdp_mode="offload"), "--xdp-mode 'offload': expected auto, native or generic"),
        (UserspaceFlags("af_xdp", busy_poll=-1), "--xdp-busy-poll -1: expected microseconds, or 0 for none"),
        (UserspaceFlags(interfaces=("eth0",)), "expected with --userspace-port=af_xdp"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_one_clear_line(flags: UserspaceFlags, told: str) -> None:
    with pytest.raises(InputError, match=told):
        flags.xdp()


@pytest.mark.parametrize(
    ("interfaces", "name", "kind", "selected"),
    [
        ((), "pod-web", "veth", True),
        ((), "eth0", "", False),
        (("eth*",), "eth0", "", True),
        (("eth*",), "pod-web", "veth", False),
    ],
)
def test_interfaces_are_chosen_by_name_or_all_veths(
    interfaces: tuple[str, ...], name: str, kind: str, selected: bool
) -> None:
    assert XdpOptions(interfaces).selects(LinkState(2, name, kind, bytes(6), 1500, 1, True)) is selected


def test_packets_may_be_read_in_python() -> None:
    flags = UserspaceFlags("nfqueue_python")
    assert flags.xdp() is None
    assert flags.in_python
