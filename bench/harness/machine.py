"""The machine that a run was made on, and how much else went on there."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.harness.host import Host

_LOOK = 1.0  #: seconds


def describe() -> dict[str, str]:
    return {
        "kernel": platform.release(),
        "processor": _processor(),
        "processors": str(os.cpu_count()),
        "memory": _memory(),
        "system": _system(),
        "Python": platform.python_version(),
        "nft": _version("nft", "--version"),
        "iptables": _version("iptables", "--version"),
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


@dataclass(frozen=True)
class Ticks:
    """How much time some processors have spent, in seconds."""

    busy: float
    stolen: float


def ticks(host: Host, processors: set[int] | None = None) -> Ticks:
    """Of these processors of a host, or of all.

    Busy is all that is not idle: the kernel knows exactly how long a processor slept, but what it did when it was
    awake only by sampling.
    """
    return _ticks(host.run(["cat", "/proc/stat"]), processors)


def _ticks(stat: str, processors: set[int] | None) -> Ticks:
    """From what proc(5) says of /proc/stat."""
    unit = os.sysconf("SC_CLK_TCK")
    idle = stolen = 0.0
    count = 0
    for line in stat.splitlines():
        name, *words = line.split()
        if not name.startswith("cpu") or name == "cpu" or (processors is not None and int(name[3:]) not in processors):
            continue
        count += 1
        idle += (int(words[3]) + int(words[4])) / unit
        stolen += int(words[7]) / unit
    return Ticks(count * time.monotonic() - idle, stolen)


class Noise:
    """What else went on: just before this was made, which takes a second, and what the hypervisor took since then."""

    def __init__(self) -> None:
        before = _all_ticks()
        time.sleep(_LOOK)
        self._began, self._at = time.monotonic(), _all_ticks()
        self._busy = (self._at.busy - before.busy) / (_LOOK * (os.cpu_count() or 1))

    def told(self) -> dict[str, str]:
        elapsed = time.monotonic() - self._began
        stolen = (_all_ticks().stolen - self._at.stolen) / (elapsed * (os.cpu_count() or 1))
        return {
            "busy before": f"{max(self._busy, 0):.0%}",
            "stolen by the hypervisor": f"{stolen:.1%}",
            "load": f"{os.getloadavg()[0]:.1f}",
            "took": f"{elapsed:.0f} s",
        }


def _all_ticks() -> Ticks:
    return _ticks(Path("/proc/stat").read_text(), None)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "") or platform.system()


def _version(*words: str) -> str:
    try:
        said = subprocess.run(words, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return "none"
    return " ".join(said.split()[1:]).lstrip("v")
