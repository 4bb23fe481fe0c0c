"""Where a lab keeps what must be known outside its supervisor: /run/svcplane/NAME.

    state.json       who the supervisor is, what it was told, where its API server listens
    kubeconfig       for people and tools on the host
    node.kubeconfig  for the agents, through the lab's own network
    supervisor.log   agents/NODE.log   pods/NAMESPACE_NAME.log
    lock             held, with flock(2), for as long as the supervisor lives

The lock is what tells a running lab from a crashed one: the kernel takes it away with the process, however that ends,
and no process id is ever mistaken for another's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import msgspec

from dataplane.errors import InputError
from lab.cluster.options import LabOptions
from lab.network.namespace import check_lab_name

ROOT = Path("/run/svcplane")


class LabState(msgspec.Struct, frozen=True):
    """state.json."""

    supervisor: int  #: process id
    options: LabOptions
    api: str = ""  #: URL of the API server, for the host; empty until it listens
    ready: bool = False  #: all agents have reported that they carry out Services


class StateDirectory:
    """The folder of one lab. Making the object makes nothing."""

    def __init__(self, lab: str, root: Path = ROOT) -> None:
        self.lab = check_lab_name(lab)
        self.path = root / lab
        self.kubeconfig = self.path / "kubeconfig"
        self.node_kubeconfig = self.path / "node.kubeconfig"
        self.supervisor_log = self.path / "supervisor.log"
        self.agents = self.path / "agents"
        self.pods = self.path / "pods"
        self._state = self.path / "state.json"
        self._lock = self.path / "lock"

    def create(self) -> int | None:
        """Make the folder and take the lock. Returns the lock's descriptor; None if a lab of this name runs."""
        while True:
            for folder in (self.path, self.agents, self.pods):
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            if self._is_current(descriptor):
                return descriptor
            os.close(descriptor)  # somebody deleted the folder between our two steps

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._lock))
        except FileNotFoundError:
            return False

    @property
    def is_alive(self) -> bool:
        """Whether the lab's supervisor lives."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)  # who is not root may look, too
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @property
    def exists(self) -> bool:
        """Whether anything is left of a lab of this name, running or not."""
        return self.path.is_dir()

    def write(self, state: LabState) -> None:
        temporary = self._state.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(state))
        temporary.replace(self._state)  # readers see the old one or the new one, never a part

    def read(self) -> LabState | None:
        """What the supervisor wrote last; None if it has not written yet."""
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=LabState)
        except FileNotFoundError:
            return None

    def running(self) -> LabState:
        """The state of a lab that runs and is reachable. InputError if there is none of this name."""
        state = self.read() if self.is_alive else None
        if state is None or not state.api:
            raise InputError(f"no lab called {self.lab!r} is up: start one with 'svcplane lab up{self._name_flag()}'")
        return state

    def _name_flag(self) -> str:
        return "" if self.lab == LabOptions().name else f" --name {self.lab}"

    def delete(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def all_labs(root: Path = ROOT) -> list[StateDirectory]:
    """Every lab of which anything is left."""
    try:
        return [StateDirectory(path.name, root) for path in sorted(root.iterdir()) if path.is_dir()]
    except FileNotFoundError:
        return []
