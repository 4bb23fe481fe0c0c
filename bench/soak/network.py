"""Three network namespaces around this one, which is the node: pods that ask, endpoints that answer, and the outside.

    pods    10.129.0.2, fd00:10:129::2 ─┐
    outside 198.51.100.2, fd00:198::2 ──┤ this namespace: 192.0.2.1, fd00:192::1 ├── endpoints 10.200.0.0/16, ...

The endpoints' namespace takes the whole network for its own, so an endpoint needs no setting up. A namespace is that of
a process and ends with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.soak.addresses import NODE_ADDRESSES

PODS = ("10.129.0.", "fd00:10:129::")
OUTSIDE = ("198.51.100.", "fd00:198::")
_ENDPOINTS = ("10.199.0.", "fd00:10:199::")
_ENDPOINT_NETWORKS = ("10.200.0.0/16", "fd00:10:200::/48")


def prepare_node() -> None:
    """Make this (empty) namespace the node."""
    _ip("link set lo up")
    _ip(f"address add {NODE_ADDRESSES[0]}/32 dev lo")
    _ip(f"address add {NODE_ADDRESSES[1]}/128 dev lo nodad")
    for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path("/proc/sys/net", setting).write_text("1")
    # Refusals are to be heard: by default the kernel says so only once a second to each client.
    for setting in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):
        Path("/proc/sys/net", setting).write_text("0")


def start(module: str, *arguments: str, isolated: bool = True) -> subprocess.Popen[str]:
    """``python -m MODULE ARGUMENTS``, in a namespace of its own unless told otherwise, spoken to by lines."""
    command = [*(["unshare", "--net"] if isolated else []), sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def greet(name: str, process: subprocess.Popen[str]) -> None:
    """Wait until it says that it is there."""
    assert process.stdout is not None
    if process.stdout.readline() != "here\n":
        raise SystemExit(f"{name} did not start")


def connect(name: str, process: subprocess.Popen[str], networks: tuple[str, str]) -> None:
    """Join this process's namespace to the node."""
    away = f"nsenter --net=/proc/{process.pid}/ns/net"
    _ip(f"link add {name} type veth peer name eth0 netns {process.pid}")
    _ip(f"link set {name} up")
    four, six = networks
    _ip(f"address add {four}1/24 dev {name}")
    _ip(f"address add {six}1/64 dev {name} nodad")
    for words in (
        "link set lo up",
        "link set eth0 up",
        f"address add {four}2/24 dev eth0",
        f"address add {six}2/64 dev eth0 nodad",
        f"route add default via {four}1",
        f"-6 route add default via {six}1",
    ):
        _ip(words, away)


def connect_endpoints(process: subprocess.Popen[str]) -> None:
    greet("endpoints", process)
    connect("endpoints", process, _ENDPOINTS)
    for network, prefix in zip(_ENDPOINT_NETWORKS, _ENDPOINTS, strict=True):
        family = "-6" if ":" in network else "-4"
        _ip(f"{family} route add {network} via {prefix}2")
        _ip(f"{family} route add local {network} dev lo", f"nsenter --net=/proc/{process.pid}/ns/net")


def route_the_rest_outside() -> None:
    """As a node has a default route: what is nobody's goes that way, and is lost there."""
    for prefix in OUTSIDE:
        _ip(f"{'-6' if ':' in prefix else '-4'} route add default via {prefix}2")


def _ip(words: str, where: str = "") -> None:
    subprocess.run([*where.split(), "ip", *words.split()], check=True)
