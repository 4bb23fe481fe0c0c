"""One machine of the lab: a network namespace with a name, as `ip netns` knows them.

A namespace lives as a file under /run/netns, so `ip netns exec svcplane.lab.n1 CMD` works while the lab runs. All
names begin with ``svcplane.<lab>.``: that is how `lab down` knows what belongs to which lab, and what is not ours.

The kernel gives every *thread* its own network namespace. `Namespace.call` therefore does its work in a thread of
its own, which enters the namespace, works and ends; the caller's thread never leaves the host's namespace. A socket
made inside stays inside, whoever uses it later; so does a process started there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from dataplane.errors import InputError
from lab.network import syscalls

DIRECTORY = "/run/netns"  #: where iproute2 keeps them
PREFIX = "svcplane."

_SIOCSIFFLAGS = 0x8914  #: linux/sockios.h
_IFF_UP = 1  #: linux/if.h

T = TypeVar("T")


def check_lab_name(lab: str) -> str:
    """The name, if it can name a lab: a DNS label, so that no lab's prefix is a part of another's."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?", lab):
        raise InputError(f"lab name {lab!r}: expected at most 32 lower case letters, digits and '-'")
    return lab


class Namespace:
    """A network namespace of one lab. Making the object makes nothing: see `create`."""

    def __init__(self, lab: str, machine: str) -> None:
        self.lab = check_lab_name(lab)
        self.machine = machine  #: ``n1``, ``x1``; ``default.web-1`` for a pod of the cluster
        self.name = f"{PREFIX}{lab}.{machine}"
        self.path = f"{DIRECTORY}/{self.name}"

    def __repr__(self) -> str:
        return f"Namespace({self.name})"

    @property
    def exists(self) -> bool:
        return os.path.exists(self.path)

    def create(self) -> Namespace:
        """Make it, with `lo` up and nothing else in it. FileExistsError if there is one of this name."""
        with _namespace_directory():
            os.close(os.open(self.path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o444))
        try:
            _in_thread(self._create_here)
        except BaseException:
            self.delete()
            raise
        return self

    def _create_here(self) -> None:
        syscalls.unshare_network()
        syscalls.mount(f"/proc/self/task/{threading.get_native_id()}/ns/net", self.path, syscalls.MS_BIND)
        _bring_up_loopback()

    def delete(self) -> None:
        """Remove the name. The kernel removes the namespace, and its links, with its last process or socket."""
        with contextlib.suppress(FileNotFoundError):
            try:
                syscalls.unmount(self.path)
            except OSError as error:
                # EINVAL: a file that nothing is mounted on, left by a `create` that was killed half-way.
                if error.errno not in (errno.EINVAL, errno.ENOENT):
                    raise
            os.unlink(self.path)

    def enter(self) -> None:
        """Move the calling thread in for good. For child processes; everybody else wants `call`."""
        syscalls.enter_network(self.path)

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns (or raises) when it runs inside."""

        def inside() -> T:
            self.enter()
            return function()

        return _in_thread(inside)

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket of this namespace, to be used from anywhere."""
        return self.call(lambda: socket.socket(family, kind))

    def run(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """`subprocess.run` inside, with text and output captured unless the options say otherwise."""
        options = {"capture_output": True, "text": True, "check": True} | options
        return self.call(lambda: subprocess.run(argv, **options))

    def set_parameters(self, parameters: Mapping[str, int | str]) -> None:
        """Set kernel parameters of this namespace, as in ``{"net/ipv4/ip_forward": 1}``."""

        def write() -> None:
            for name, value in parameters.items():
                if not name.startswith("net/"):
                    raise ValueError(f"{name} is not a parameter of a network namespace")
                # /proc/sys/net shows the namespace of whoever opens it.
                with open(f"/proc/sys/{name}", "w") as file:
                    file.write(str(value))

        self.call(write)

    @staticmethod
    def of_lab(lab: str) -> list[Namespace]:
        """All that exist of one lab."""
        prefix = f"{PREFIX}{check_lab_name(lab)}."
        return [Namespace(lab, name.removeprefix(prefix)) for name in _names() if name.startswith(prefix)]

    @staticmethod
    def labs() -> set[str]:
        """The names of all labs that have namespaces here."""
        return {name.split(".")[1] for name in _names() if name.startswith(PREFIX) and name.count(".") >= 2}


def in_new_namespace(function: Callable[[], T]) -> T:
    """What `function` returns (or raises) in a network namespace of its own, without a name, that ends with it."""

    def inside() -> T:
        syscalls.unshare_network()
        return function()

    return _in_thread(inside)


def _bring_up_loopback() -> None:
    """`lo` of the calling thread's namespace, with the one ioctl that this takes (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))


def _names() -> list[str]:
    try:
        return sorted(os.listdir(DIRECTORY))
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def _namespace_directory() -> Iterator[None]:
    """Make sure of /run/netns as `ip netns add` does: a shared mount, so that all mount namespaces see the names."""
    os.makedirs(DIRECTORY, mode=0o755, exist_ok=True)
    lock = os.open(DIRECTORY, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            syscalls.mount(None, DIRECTORY, syscalls.MS_SHARED | syscalls.MS_REC)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            syscalls.mount(DIRECTORY, DIRECTORY, syscalls.MS_BIND | syscalls.MS_REC)
            syscalls.mount(None, DIRECTORY, syscalls.MS_SHARED | syscalls.MS_REC)
        yield
    finally:
        os.close(lock)


def _in_thread(function: Callable[[], T]) -> T:
    """Run `function` in a thread that ends with it, so that what it does to its thread concerns nobody else."""
    result: list[T] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            result.append(function())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return result[0]
