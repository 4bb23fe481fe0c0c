"""What is said of the userspace mode on the command line."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

import pytest

from dataplane.errors import InputError
from dataplane.netlink.routing import LinkState
from dataplane.userspace.xdp.options import XdpOptions
from dataplane.userspace.xdp.port import Where
from lab.network.namespace import Namespace
from svcplane.lab import up
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


def test_what_packets_are_read_with_in_python_is_asked_for_before_anything_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "netfilterqueue", None)
    UserspaceFlags().check_here()
    with pytest.raises(InputError, match=r"needs the package NetfilterQueue \(pip install 'svcplane\[nfqueue\]'\)"):
        UserspaceFlags("nfqueue_python").check_here()


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("flags", "dropped", "told"),
    [
        (["--userspace-port=nfqueue_python"], "", "needs the package NetfilterQueue"),
        (["--userspace-port=af_xdp"], "-bpf,-sys_admin", "AF_XDP: .*: it needs CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW"),
    ],
    ids=["no package", "no capability"],
)
def test_an_agent_that_lacks_something_ends_with_2_and_says_what(
    flags: list[str], dropped: str, told: str, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace of its own")
    (tmp_path / "netfilterqueue.py").write_text("raise ImportError('not here')\n")
    machine = Namespace(f"lacking-{os.getpid()}", "a").create()
    try:
        run = machine.run(
            [
                *(["setpriv", "--bounding-set", dropped] if dropped else []),
                *(sys.executable, "-m", "svcplane.main", "agent", "--proxy-mode=userspace", *flags),
                "--master=http://127.0.0.1:1",
                *("--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s"),
                "--conntrack-tcp-timeout-close-wait=0s",
            ],
            check=False,
            env=os.environ | {"PYTHONPATH": str(tmp_path), "SVCPLANE_RUN": str(tmp_path / "run")},
        )
    finally:
        machine.delete()
    assert run.returncode == 2
    assert re.search(told, run.stderr.splitlines()[-1])


def test_a_lab_passes_the_port_on_to_its_agents() -> None:
    parser = argparse.ArgumentParser()
    up.add_arguments(parser)
    args = parser.parse_args(["--proxy-mode=userspace", "--userspace-port=af_xdp", "--agent=my agent"])
    assert up.agent_command(args) == ("my", "agent", "--userspace-port=af_xdp")
    args = parser.parse_args(["--userspace-port=af_xdp"])
    with pytest.raises(InputError, match="--userspace-port=af_xdp: expected with --proxy-mode=userspace"):
        up.agent_command(args)
