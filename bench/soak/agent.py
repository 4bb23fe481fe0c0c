"""The agent in a soak: a process that is killed now and then, and what it holds of the machine."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.soak.addresses import CLUSTER_CIDRS, NODE


class Holdings(NamedTuple):
    """What a process has: files and sockets, threads, and resident memory in MB (10^6 bytes)."""

    descriptors: float
    threads: float
    resident_mb: float


_MORE = Holdings(descriptors=6, threads=2, resident_mb=3.0)  # that an agent may have more later than before


def growth(seen: Sequence[Holdings]) -> list[str]:
    """What an agent has more of in the last third of its life than in the middle one, in words; nothing if that is
    little. `seen`: after each round, in order. The medians count, as some rounds end in the middle of a reconnect.

    The first third is left out. An agent that has just started has not yet had as many Services at a time, nor as many
    changes at once, as it will have; and what a process once needed, its allocators keep. That levels off, and what
    leaks does not.
    """
    third = len(seen) // 3
    if third == 0:
        return []
    before, after = (
        Holdings(*(statistics.median(values) for values in zip(*part, strict=True)))
        for part in (seen[third:-third], seen[-third:])
    )
    return [
        f"the agent's {name} grew from {earlier:g} to {later:g} from the middle third of {len(seen)} rounds to the last"
        for name, earlier, later, more in zip(Holdings._fields, before, after, _MORE, strict=True)
        if later - earlier > more
    ]


class Agent:
    """`folder` gets its log and its kubeconfig."""

    def __init__(self, server: str, folder: Path) -> None:
        self._log = folder / "agent.log"
        self._kubeconfig = folder / "kubeconfig"
        self._kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "soak",
                    "contexts": [{"name": "soak", "context": {"cluster": "soak", "user": "soak"}}],
                    "clusters": [{"name": "soak", "cluster": {"server": server}}],
                    "users": [{"name": "soak", "user": {}}],
                }
            )
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.killed = 0

    def start(self) -> None:
        flags = (
            f"--kubeconfig={self._kubeconfig}",
            f"--hostname-override={NODE}",
            f"--cluster-cidr={','.join(CLUSTER_CIDRS)}",
        )
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*_PROGRAM, *flags], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """At once, in the middle of whatever it does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.killed += 1

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    def clean_up(self) -> None:
        """Take everything out of the kernel that it programmed."""
        subprocess.run([*_PROGRAM, "--cleanup"], check=True, capture_output=True)

    @property
    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def holdings(self) -> Holdings:
        assert self._process is not None
        process = Path("/proc", str(self._process.pid))
        status = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", (process / "status").read_text(), re.M))
        files = len(list((process / "fd").iterdir()))
        return Holdings(files, int(status["Threads"]), int(status["VmRSS"]) * 1024 / 1e6)

    def log(self) -> str:
        return self._log.read_text()


_PROGRAM = (sys.executable, "-m", "svcplane.main", "agent")


def programmed() -> list[str]:
    """What the kernel holds, a line for each object and element; not what packets wrote, nor how large sets may be."""
    listed = subprocess.run(["nft", "--json", "--stateless", "list", "ruleset"], check=True, capture_output=True)
    places: Counter[tuple[str, ...]] = Counter()
    lines = []
    for obj in json.loads(listed.stdout)["nftables"]:
        ((kind, content),) = obj.items()
        if kind == "metainfo":
            continue
        kept = {name: value for name, value in content.items() if name not in ("handle", "size")}
        if kind == "rule":
            chain = (kept["family"], kept["table"], kept["chain"])
            kept["place"] = places[chain]
            places[chain] += 1
        elements = kept.pop("elem", [])
        lines.append(f"{kind} {json.dumps(kept, sort_keys=True)}")
        if "timeout" not in kept.get("flags", ()):
            of_set = f"element of {kept.get('family')} {kept.get('name')}"
            lines += [f"{of_set}: {json.dumps(element, sort_keys=True)}" for element in elements]
    return sorted(lines)
