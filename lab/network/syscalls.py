"""The few Linux calls that namespaces need and Python 3.11 lacks (`os.setns` and `os.unshare` came with 3.12)."""

from __future__ import annotations

import ctypes
import os
import signal

CLONE_NEWNET = 0x40000000  #: sched.h
MS_BIND = 0x1000  #: mount.h
MS_REC = 0x4000
MS_SHARED = 0x100000
_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1  #: prctl.h

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare_network() -> None:
    """Move the calling thread into a new, empty network namespace."""
    _check(_libc.unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)")


def enter_network(path: str) -> None:
    """Move the calling thread into the network namespace that is mounted at `path`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(descriptor, CLONE_NEWNET), f"setns {path}")
    finally:
        os.close(descriptor)


def mount(source: str | None, target: str, flags: int) -> None:
    """mount(2) without a file system type: for bind mounts and for changing propagation."""
    _check(
        _libc.mount(
            None if source is None else os.fsencode(source), os.fsencode(target), b"none", ctypes.c_ulong(flags), None
        ),
        f"mount {target}",
    )


def unmount(target: str) -> None:
    """Detach what is mounted at `target`, even if it is in use: it goes when its last user does."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that ends.

    `parent` is the process id that the caller saw before it forked: if the parent ended in between, there is
    nobody left to die with, so this process ends at once.
    """
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)
