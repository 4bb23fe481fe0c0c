"""What the workers of one node share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from lab.kubelet.addresses import AddressPool
from lab.network.namespace import Namespace
from lab.network.network import Network
from lab.network.topology import Host
from lab.pod.asynchronous import AsyncProcesses

#: Tells people what happens to a pod, as an Event: (Normal or Warning, reason, message).
Tell: TypeAlias = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class NodeRuntime:
    """The machine that a kubelet runs pods on."""

    host: Host
    network: Network
    processes: AsyncProcesses
    addresses: AddressPool
    logs: Path  #: folder of the pods' output, one file each
    clock: Callable[[], datetime]

    @property
    def machine(self) -> Namespace:
        return self.network[self.host.name]


def log_file(logs: Path, namespace: str, name: str) -> Path:
    """Where a pod's output goes."""
    return logs / f"{namespace}_{name}.log"
