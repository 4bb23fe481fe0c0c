"""`--cleanup` removes what any mode has left, all of it. Whatever else is on the host stays as it was."""

from __future__ import annotations

import contextlib
import difflib
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from dataplane.iptables import IptablesDataplane
from dataplane.iptables.chain import Layout
from dataplane.ipvs import IpvsDataplane, kernel
from dataplane.ipvs.kernel import Ipvs, ServerKey, Service
from dataplane.nftables import NftablesDataplane
from dataplane.table import (
    Affinity,
    Backend,
    DetectLocal,
    Endpoint,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
    Reject,
)
from dataplane.userspace.dataplane import UserspaceDataplane
from dataplane.userspace.limits import Limits
from dataplane.userspace.xdp.options import XdpOptions
from kernel_features import lacks_ipvs
from svcplane.modes import clean_up

pytestmark = pytest.mark.kernel

_LIMITS = Limits(4096, 1024, 256, 256, 1024, 1024, 256, 256, 1024, 1024)
#: Every way of programming, as what is left is another.
WAYS: Mapping[str, Callable[[], Any]] = {
    "nftables": NftablesDataplane,
    "iptables-legacy": lambda: IptablesDataplane("legacy"),
    "iptables-nft": lambda: IptablesDataplane("nft"),
    "iptables-nft, tree": lambda: IptablesDataplane("nft", layout=Layout.TREE),
    "userspace": lambda: UserspaceDataplane(limits=_LIMITS),
    "userspace-xdp": lambda: UserspaceDataplane(limits=_LIMITS, xdp=XdpOptions()),
    "ipvs": IpvsDataplane,
}

FOREIGN_RULES = """
table ip firewall {
    set svcplane { type ipv4_addr; }
    chain input { type filter hook input priority 0; tcp dport 22 accept; }
}
table ip6 svcplane-of-somebody { chain services { }; }
"""
#: Somebody uses all that iptables has: what it makes for its first user, nobody can remove.
FOREIGN_CHAINS = """
*mangle
:PREROUTING ACCEPT
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:KUBE-KUBELET-CANARY -
COMMIT
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:DOCKER -
-A PREROUTING -j DOCKER
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:KUBE-FIREWALL -
-A OUTPUT -j KUBE-FIREWALL
COMMIT
"""
FOREIGN_SERVER = ServerKey(Family.IPV4, frontend=FrontendKey("203.0.113.1", Protocol.TCP, 443))


def _table() -> ForwardingTable:
    """Something of every kind: affinity, a refusal, limited sources, a NodePort, UDP, IPv6."""
    endpoint = Endpoint("10.244.1.21", 8080)
    backends = (Backend("10.244.1.21", 8080, True), Backend("10.244.2.23", 8080, False))
    everyone = Forward(Pool(backends), True)
    sticky = Forward(Pool(backends, Affinity("default/sticky", 60)), True)
    six = Forward(Pool((Backend("fd00:244:1::15", 8080, True),)), True)
    frontends = (
        Frontend(FrontendKey("10.96.0.1", Protocol.TCP, 80), "default/sticky", sticky, sticky, sticky),
        Frontend(FrontendKey("10.96.0.2", Protocol.TCP, 80), "default/empty", Reject(), Reject(), Reject()),
        Frontend(FrontendKey("10.96.0.3", Protocol.UDP, 53), "default/dns", everyone, everyone, everyone,
                 serving=frozenset((endpoint,))),
        Frontend(FrontendKey("0.0.0.0", Protocol.TCP, 30080), "default/web", everyone, everyone, everyone),
        Frontend(FrontendKey("198.51.100.1", Protocol.TCP, 80), "default/web", everyone, everyone, everyone,
                 sources=frozenset(("192.0.2.0/24",))),
        Frontend(FrontendKey("fd00:10:96::1", Protocol.TCP, 80), "default/six", six, six, six),
    )  # fmt: skip
    return ForwardingTable(
        {frontend.key: frontend for frontend in frontends},
        node_addresses=frozenset(("192.0.2.1",)),
        cluster_ips=frozenset(("10.96.0.1", "10.96.0.2", "10.96.0.3")),
        detect_local=DetectLocal(("10.244.0.0/16",)),
    )


def _run(command: str, given: str = "") -> str:
    ran = subprocess.run(command.split(), input=given, capture_output=True, text=True)
    assert ran.returncode == 0, f"{command}: {ran.stderr}"
    return ran.stdout


def _host() -> list[str]:
    """All that a mode could have changed, but sysctls, which stay."""
    listings = [
        _run("nft -s list ruleset"),
        *(_run(f"{program}-legacy-save") for program in ("iptables", "ip6tables")),
        *(_run(f"ip {family} rule") for family in ("-4", "-6")),
        *(_run(f"ip {family} route show table all") for family in ("-4", "-6")),
        _run("ip -details link show eth0"),
    ]
    if not lacks_ipvs():
        with contextlib.closing(Ipvs()) as ipvs:
            listings += [str((key, service, ipvs.destinations(key))) for key, service in ipvs.services().items()]
    lines = [line.partition(" [")[0] for listing in listings for line in listing.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _changed(before: list[str]) -> list[str]:
    """What is not as it was, as lines that came and went."""
    return [line for line in difflib.ndiff(before, _host()) if line[0] in "+-"]


@contextlib.contextmanager
def _somebody_s_host() -> Iterator[None]:
    """A host where others have rules, too."""
    # Without addresses that the kernel makes by itself, and at a time of its own.
    commands = (
        "link set lo up",
        "link add eth0 type veth peer name away",
        "address add 192.0.2.1/24 dev eth0",
        "link set eth0 addrgenmode none up",
        "link set away addrgenmode none up",
        "rule add fwmark 0x5e priority 99 lookup 77",
        "route add 10.9.0.0/16 dev eth0 table 77",
    )
    for command in commands:
        _run(f"ip {command}")
    _run("nft -f -", FOREIGN_RULES)
    for program in ("iptables-legacy", "ip6tables-legacy", "iptables-nft", "ip6tables-nft"):
        _run(f"{program}-restore", FOREIGN_CHAINS)
    if not lacks_ipvs():
        with contextlib.closing(Ipvs()) as ipvs:
            real = kernel.put_destination(FOREIGN_SERVER, Endpoint("10.9.9.9", 443), 1, new=True)
            ipvs.carry_out([kernel.put_service(FOREIGN_SERVER, Service("rr", 0, 0), new=True), real])
    yield


def _program(way: str) -> None:
    dataplane = WAYS[way]()
    with contextlib.closing(dataplane):
        dataplane.apply(_table())


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    if request.param == "ipvs" and (reason := lacks_ipvs()):
        pytest.skip(reason)
    return str(request.param)


def test_what_a_mode_has_left_goes_and_what_others_have_stays(way: str, in_new_namespace: Callable[..., Any]) -> None:
    def work() -> None:
        with _somebody_s_host():
            before = _host()
            _program(way)
            assert _host() != before
            clean_up(way.partition("-")[0])
            assert _changed(before) == []

    in_new_namespace(work)


def test_what_all_modes_have_left_goes_at_once(in_new_namespace: Callable[..., Any]) -> None:
    def work() -> None:
        with _somebody_s_host():
            before = _host()
            for way in WAYS:
                if way != "ipvs" or not lacks_ipvs():
                    _program(way)
            clean_up("nftables")
            assert _changed(before) == []
            clean_up("nftables")
            assert _changed(before) == []

    in_new_namespace(work)
