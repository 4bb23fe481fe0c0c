"""What a kube-proxy that ran on this node has left behind in nftables and IPVS. Its iptables chains are called as ours.

Tables and chains are only rules: connections that were translated by them stay, as the kernel's connection table
remembers them. IPVS is another matter: it remembers its connections itself, with the virtual server, so whoever takes
that away ends them. What kube-proxy left there stays, and is told.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from dataplane.interface import DataplaneError
from dataplane.netlink.channel import Channel
from dataplane.nft import dump
from dataplane.nft.layer3 import IPV4, IPV6
from dataplane.nft.transaction import Transaction

_log = logging.getLogger(__name__)

_TABLES = tuple(replace(layer, table="kube-proxy") for layer in (IPV4, IPV6))
_IPVS_INTERFACE = "kube-ipvs0"


def remove_tables() -> None:
    """Delete the tables of its nftables mode. DataplaneError if that can't be done."""
    transaction = Transaction()
    try:
        with Channel() as channel:
            for layer in _TABLES:
                if dump.table_exists(channel, layer):
                    transaction.delete_table(layer)
            if transaction:
                transaction.commit(channel)
                _log.info("kube-proxy's nftables rules are gone: ours are in force")
    except OSError as error:
        raise DataplaneError(f"kube-proxy's nftables: {error}") from error


def has_ipvs() -> bool:
    """Whether its IPVS mode is still here; then its rules are needed. Tells what to do about it."""
    found = any(line.partition(":")[0].strip() == _IPVS_INTERFACE for line in _interfaces())
    if found:
        _log.warning(
            "kube-proxy's IPVS mode has left its virtual servers here: they hold open connections, so they and their "
            "rules stay. New connections are ours. Once the old ones are over, run: kube-proxy --cleanup"
        )
    return found


def _interfaces() -> list[str]:
    return Path("/proc/thread-self/net/dev").read_text().splitlines()
