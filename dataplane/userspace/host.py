"""What the engine has to know of this host, and the two kernel settings that it depends on."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from dataplane.interface import DataplaneError
from dataplane.netlink.addresses import local_addresses
from dataplane.table import Family
from dataplane.userspace.image import Host
from dataplane.userspace.limits import ALL_ANSWERS, LINUX_ANSWERS, AnswerRates

_log = logging.getLogger(__name__)

#: Addresses for documentation (RFC 5737, RFC 3849): nobody's, so they show the way to the world. Nothing is sent.
_SOMEWHERE = {Family.IPV4: (socket.AF_INET, "192.0.2.254"), Family.IPV6: (socket.AF_INET6, "2001:db8::1")}

_SETTINGS = Path("/proc/sys/net/ipv4/conf")


def this_host() -> Host:
    """All addresses in this network namespace, and those to masquerade with: what the kernel itself would send from
    towards the rest of the world, or where no route leads there, the first address that others can reach."""
    addresses = local_addresses()
    egress = {}
    for family in Family:
        found = _source_towards_the_world(family) or _first_usable(addresses, family)
        if found:
            egress[family] = found
    return Host(addresses, MappingProxyType(egress))


def _source_towards_the_world(family: Family) -> str | None:
    number, somewhere = _SOMEWHERE[family]
    with contextlib.suppress(OSError), socket.socket(number, socket.SOCK_DGRAM) as asking:
        asking.connect((somewhere, 9))
        return str(asking.getsockname()[0])
    return None


def _first_usable(addresses: frozenset[str], family: Family) -> str | None:
    usable = (ipaddress.ip_address(a) for a in addresses if Family.of(a) is family)
    found = sorted(a for a in usable if not (a.is_loopback or a.is_link_local))
    return str(found[0]) if found else None


def accept_translated_sources() -> None:
    """Let packets come in whose source the engine has made a Service's or this host's address.

    Translated packets meet routing only afterwards, and there Linux asks whether the source makes sense on the
    interface that the packet came in on. For its own addresses that is accept_local; the rules drop whoever sends from
    them without having been translated (`steering`). For a Service's address strict reverse path filtering
    (rp_filter=1) can never be right, so where it is set, the loose kind (2) takes its place. IPv6 has neither.
    DataplaneError if that is refused.
    """
    try:
        _set(_SETTINGS / "all" / "accept_local", "1")
        strict = any(path.read_text().strip() == "1" for path in _SETTINGS.glob("*/rp_filter"))
        if strict:
            # The greater of this and the interface's own counts.
            _set(_SETTINGS / "all" / "rp_filter", "2")
    except OSError as error:
        raise DataplaneError(f"userspace: cannot set {error.filename}: {error.strerror}") from error


def _set(path: Path, value: str) -> None:
    before = path.read_text().strip()
    if before != value:
        path.write_text(value)
        _log.info("set %s from %s to %s", path, before, value)


def answer_rates() -> AnswerRates:
    """As often as this host itself would answer; always where it has icmp_ratelimit switched off (0).

    Settings that cannot be read count as Linux's own.
    """
    ipv4 = Path("/proc/sys/net/ipv4")
    try:
        milliseconds, count, burst = (
            int((ipv4 / name).read_text()) for name in ("icmp_ratelimit", "icmp_msgs_per_sec", "icmp_msgs_burst")
        )
    except (OSError, ValueError):
        return LINUX_ANSWERS
    if not milliseconds:
        return ALL_ANSWERS
    return AnswerRates(
        all=replace(LINUX_ANSWERS.all, burst=burst, count=count),
        each=replace(LINUX_ANSWERS.each, seconds=milliseconds / 1000),
    )
