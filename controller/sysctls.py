"""The kernel's connection tracking: how many connections, and for how long.

These are the host's own settings, so each is written only where it differs, and only if the operator asked for it.
The names are paths below ``/proc/sys``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from controller.configuration.schema import Conntrack
from dataplane.errors import InputError

_log = logging.getLogger(__name__)

PROC_SYS = Path("/proc/sys")

_MOST = 1 << 20  # connections; kube-proxy's cap, which wins over `min`
_PER_BUCKET = 4
_ACCOUNTING = "net/netfilter/nf_conntrack_acct"
_MAX = "net/netfilter/nf_conntrack_max"
_BUCKETS = "net/netfilter/nf_conntrack_buckets"
_PREFIX = "net/netfilter/nf_conntrack_"


def conntrack_max(wanted: Conntrack, cpus: int) -> int | None:
    """How many connections to track on so many CPUs; None: as the kernel has it."""
    if wanted.max_per_core <= 0:
        return None
    scaled = wanted.max_per_core * cpus
    return _MOST if scaled > _MOST else max(scaled, wanted.min)


def timeouts(wanted: Conntrack) -> Mapping[str, int]:
    """The other settings that are asked for."""
    seconds = {
        "tcp_timeout_established": wanted.tcp_established_timeout.seconds,
        "tcp_timeout_close_wait": wanted.tcp_close_wait_timeout.seconds,
        "udp_timeout": wanted.udp_timeout.seconds,
        "udp_timeout_stream": wanted.udp_stream_timeout.seconds,
        "tcp_be_liberal": float(wanted.tcp_be_liberal),
    }
    return {_PREFIX + name: int(value) for name, value in seconds.items() if int(value) > 0}


def set_conntrack(wanted: Conntrack, root: Path = PROC_SYS, cpus: int | None = None) -> list[str]:
    """Bring the kernel's settings to what is wanted. Returns what was written, as ``name = value``.

    InputError if one cannot be set: the operator asked for it, and packets would fare otherwise than he believes.
    In a network namespace other than the host's the size of the table is the host's business: it is left alone.
    """
    written = []
    most = conntrack_max(wanted, cpus or os.cpu_count() or 1)
    if most is not None and not (root / _MAX).exists():
        raise InputError(f"conntrack: {root / _MAX} is missing (is the kernel module nf_conntrack loaded?)")
    if most is not None and not _belongs_to_the_host(root / _MAX):
        _log.info("the size of the connection table is not this network namespace's to set; it stays as it is")
    elif most is not None:
        written += _set(root, _MAX, most)
        written += _set(root, _BUCKETS, most // _PER_BUCKET, at_least=True)
    for name, value in timeouts(wanted).items():
        written += _set(root, name, value)
    return written


def set_accounting(root: Path = PROC_SYS) -> list[str]:
    """Have the kernel count packets and bytes of each connection that begins from now on. Returns what was written.

    InputError if it can't be had.
    """
    return _set(root, _ACCOUNTING, 1)


def _belongs_to_the_host(path: Path) -> bool:
    """The kernel takes away the permission to write in every other network namespace."""
    return bool(path.stat().st_mode & 0o200)


def _set(root: Path, name: str, value: int, at_least: bool = False) -> list[str]:
    path = root / name
    try:
        now = int(path.read_text())
        if now == value or (at_least and now > value):
            return []
        path.write_text(str(value))
    except OSError as error:
        raise InputError(
            f"conntrack: can't set {name.replace('/', '.')} to {value}: {error.strerror} "
            "(run `svcplane agent --init-only` with all privileges first, or configure it as 0)"
        ) from error
    return [f"{name.replace('/', '.')} = {value}"]
