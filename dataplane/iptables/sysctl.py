"""The two kernel settings that this mode has to do with, in the calling thread's network namespace."""

from __future__ import annotations

from pathlib import Path

from dataplane.interface import DataplaneError

_LIBERAL = Path("/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal")
_ROUTE_LOCALNET = Path("/proc/sys/net/ipv4/conf/all/route_localnet")


def connection_tracking_is_liberal() -> bool:
    """Packets outside of the TCP window are tracked all the same, so few are invalid, and none need be dropped."""
    try:
        return _LIBERAL.read_text().strip() != "0"
    except OSError:  # connection tracking is not loaded yet, and begins strict
        return False


def route_localnet() -> None:
    """Let packets to 127.0.0.0/8 be routed, so that they can be translated. DataplaneError if that is refused."""
    try:
        if _ROUTE_LOCALNET.read_text().strip() != "1":
            _ROUTE_LOCALNET.write_text("1")
    except OSError as error:
        raise DataplaneError(f"iptables: cannot set {_ROUTE_LOCALNET} to 1: {error.strerror}") from error
