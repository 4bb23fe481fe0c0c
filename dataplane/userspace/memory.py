"""The folder in which an engine's flows and remembered clients outlive their process (native/durable.c).

    current/flows    flows and clients, as the engine that runs has them in its memory
    current/names    what that engine's numbers of affinities and their backends mean

An engine begins in ``next``; when it knows again what ``current`` held, the two change places. Whenever the process is
killed, one of the two is whole.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dataplane.interface import DataplaneError
from dataplane.table import Endpoint, Family
from dataplane.userspace.image import unpacked
from dataplane.userspace.saved import SavedClient, SavedFlow
from dataplane.userspace.structures import saved_flow
from native.library import ffi, lib

_log = logging.getLogger(__name__)

RUN = Path(os.environ.get("SVCPLANE_RUN", "/run/svcplane-userspace"))
"""Where the folders are. Whoever runs nodes that do not live long gives them another, and removes it with them."""

ABANDONED = 24 * 3600.0
"""Seconds after which nobody comes back for what an agent has left. TCP gives up within the hour, when nothing gets
through; whether the namespace is still there, nobody can tell from outside."""

_SO_NETNS_COOKIE = 71  # asm-generic/socket.h


def default_folder() -> Path:
    """One for each network namespace, as there may be one agent in each: that of the calling thread.

    Called by the namespace's cookie, which no other has until the machine starts again; or, before Linux 5.14, by its
    inode, whose number a later one may get.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        try:
            name = int.from_bytes(asking.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)
        except OSError:
            name = os.stat("/proc/thread-self/ns/net").st_ino
    return RUN / str(name)


class Known(NamedTuple):
    """What an engine before this one knew: its file, and its clients."""

    flows: Any
    clients: tuple[tuple[SavedClient, int], ...]  #: with the time when each is forgotten, in milliseconds


class Memory:
    """The files of one engine. Close it after the engine."""

    def __init__(self, folder: Path) -> None:
        """Begin anew in the folder, which is made if need be. DataplaneError if that is impossible."""
        self._folder = folder
        self._current, self._next = folder / "current", folder / "next"
        self._native: Any = ffi.NULL
        self._files = self._next
        self._complained = False  #: that names cannot be written
        try:
            self._held = _hold(folder)
            shutil.rmtree(self._next, ignore_errors=True)
            self._next.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise DataplaneError(f"userspace: cannot keep flows in {folder}: {error.strerror}") from error

    def attach(self, engine: Any) -> None:
        """Have the engine keep its flows here, before it knows any."""
        failed = ffi.new("int *")
        descriptor = os.open(self._next / "flows", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._native = lib.durable_attach(engine, descriptor, failed)
        finally:
            os.close(descriptor)
        if not self._native:
            raise DataplaneError(f"userspace: cannot keep flows in {self._folder}: {os.strerror(-failed[0])}")

    def note(self, affinities: Mapping[int, tuple[str, Family]], members: Mapping[int, Endpoint]) -> None:
        """Write down what numbers of affinities, and of their backends, mean: before they are used.

        Where there is no room for that, nothing is written down: old meanings of new numbers would be wrong, and that
        clients are given backends anew after a restart is no reason to keep everybody from a change of Services now.
        """
        names, new = self._files / "names", self._files / "names.new"
        try:
            try:
                new.write_text(json.dumps({"affinities": affinities, "members": members}))
                new.rename(names)
                self._complained = False
            except OSError as error:
                names.unlink(missing_ok=True)
                new.unlink(missing_ok=True)
                if not self._complained:
                    _log.error("after a restart clients will be given backends anew: %s: %s", new, error.strerror)
                self._complained = True
        except OSError as error:
            raise DataplaneError(f"userspace: cannot write {new}: {error.strerror}") from error

    @property
    def has_before(self) -> bool:
        """Whether an engine was here before."""
        return (self._current / "flows").exists()

    def before(self) -> Known | None:
        """What the last engine knew; None if there was none, or it left nothing that can be read."""
        native = _open(self._current / "flows")
        return Known(native, tuple(_clients(native, self._current / "names"))) if native else None

    def done(self) -> None:
        """All that is to be known from before is known: this is the memory that counts now."""
        if self._files == self._next:
            shutil.rmtree(self._current, ignore_errors=True)
            self._next.rename(self._current)
            self._files = self._current

    def close(self) -> None:
        """Let go of the files, which stay."""
        lib.durable_close(self._native)
        self._native = ffi.NULL
        if self._held >= 0:
            os.close(self._held)
            self._held = -1


def left_behind(folder: Path) -> Iterator[SavedFlow]:
    """The flows that an engine which runs no more has left in its folder, without the names of their Services."""
    native, now = _open(folder / "current" / "flows"), lib.worker_now()
    for number in range(1, native.flow_count if native else 0):
        flow = native.flows[number]
        if flow.deadline > now and flow.tuples[0].family:
            yield saved_flow(flow, "", now)


def _open(file: Path) -> Any:
    """The flows in a file; None if it is not there, or of another version."""
    failed = ffi.new("int *")
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        native = lib.durable_open(descriptor, failed)
    finally:
        os.close(descriptor)
    if not native:
        _log.warning("%s: not the flows of this version, so connections begin anew", file)
        return None
    return ffi.gc(native, lib.durable_close)


def forget(folder: Path) -> None:
    """Remove what engines have kept in a folder; nothing there is fine."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        RUN.rmdir()


def remove_abandoned(run: Path) -> None:
    """Remove the folders in `run` that no engine holds, and none has held for a day."""
    for folder in run.glob("[0-9]*"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(descriptor).st_mtime > ABANDONED:
                    shutil.rmtree(folder)
            finally:
                os.close(descriptor)


def _hold(folder: Path) -> int:
    """Make the folder, and a lock on it that the kernel takes away with the process."""
    while True:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        # Somebody may just have removed it, as abandoned.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                return descriptor
        os.close(descriptor)


def _clients(native: Any, names: Path) -> Iterator[tuple[SavedClient, int]]:
    try:
        read = json.loads(names.read_text())
        affinities = {int(n): (name, Family(family)) for n, (name, family) in read["affinities"].items()}
        members = {int(n): Endpoint(address, port) for n, (address, port) in read["members"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return  # without names, clients mean nothing; they are given backends anew
    for number in range(1, native.client_count):
        entry = native.clients[number]
        if entry.affinity in affinities and entry.member in members:
            name, family = affinities[entry.affinity]
            address = unpacked(bytes(entry.client.bytes), family)
            yield SavedClient(name, address, members[entry.member], 0), int(entry.expires)
