"""Who is compared: nothing in between (the ceiling), every mode of svcplane, and every mode of kube-proxy."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from bench import workload
from bench.harness import cluster
from bench.harness.host import CommandFailedError, Host
from dataplane.errors import InputError
from dataplane.version import VERSION
from svcplane.modes import mode_names

CEILING = "no service"

KUBECONFIG = "{kubeconfig}"  #: in a command: where the path goes

#: What differs little from another contender.
ASIDE = ("userspace nfqueue python", "userspace af_xdp polling", "iptables-legacy tree", "iptables-nft")

#: Modes that come in several shapes: what each is called, and its flags.
VARIANTS: Mapping[str, Sequence[tuple[str, Sequence[str]]]] = {
    "userspace": (
        ("userspace nfqueue", ("--userspace-port=nfqueue",)),
        ("userspace nfqueue python", ("--userspace-port=nfqueue_python",)),
        ("userspace af_xdp", ("--userspace-port=af_xdp",)),
        ("userspace af_xdp polling", ("--userspace-port=af_xdp", "--xdp-busy-poll=20")),
    ),
    "iptables": (
        ("iptables-legacy", ("--iptables-variant=legacy",)),
        ("iptables-nft", ("--iptables-variant=nft",)),
        ("iptables-legacy tree", ("--iptables-variant=legacy", "--iptables-layout=tree")),
    ),
}

_COMMON = (
    f"--kubeconfig={KUBECONFIG}",
    f"--hostname-override={cluster.NODE}",
    f"--cluster-cidr={workload.CLUSTER_CIDR}",
    # Namespaces may not change these; 0 leaves them alone.
    "--conntrack-max-per-core=0",
    "--conntrack-tcp-timeout-established=0s",
    "--conntrack-tcp-timeout-close-wait=0s",
)


@dataclass(frozen=True)
class Contender:
    """Somebody who is measured. Without a command the client talks to the backends themselves."""

    name: str
    version: str = ""
    command: Sequence[str | Path] = ()  #: a Path is a file of ours, which the node is brought
    iptables: str = ""  #: the variant that "iptables" must be, for those who do not choose themselves
    reads_endpoints: bool = False  #: and not EndpointSlices
    absent: str = ""  #: why it cannot take part here
    aside: bool = False  #: it differs little from another one: asked the first questions, with one number of Services

    @property
    def is_ceiling(self) -> bool:
        return not self.command


def everybody(kube_proxy: str | None, flags: str = "", svcplane: str = "") -> list[Contender]:
    """All that can be found here. `kube_proxy` is a path; without one, PATH is searched.

    `svcplane` is where a node has that program; without it, it is where the one that runs is.
    """
    path = kube_proxy or shutil.which("kube-proxy")
    theirs = list(_kube_proxy(Path(path), shlex.split(flags))) if path else []
    return [Contender(CEILING), *_svcplane(svcplane or str(Path(sys.executable).with_name("svcplane"))), *theirs]


def chosen(contenders: Sequence[Contender], patterns: str) -> list[Contender]:
    """Those whose names match one of the patterns (with commas between them), and the ceiling always."""
    wanted = [pattern.strip() for pattern in patterns.split(",")]
    found = [c for c in contenders if c.is_ceiling or any(fnmatchcase(c.name, pattern) for pattern in wanted)]
    if not any(not c.is_ceiling for c in found):
        names = ", ".join(repr(c.name) for c in contenders)
        raise InputError(f"contenders {patterns!r}: expected patterns that match some of {names}")
    return found


def _svcplane(program: str) -> Iterator[Contender]:
    for mode in mode_names():
        for name, flags in VARIANTS.get(mode, ((mode, ()),)):
            command = (program, "agent", *_COMMON, f"--proxy-mode={mode}", *flags)
            yield Contender(f"svcplane {name}", VERSION, command, aside=name in ASIDE)


def _kube_proxy(program: Path, flags: Sequence[str]) -> Iterator[Contender]:
    version = _said_by(program, "--version").removeprefix("Kubernetes ")
    text = _said_by(program, "--help")
    found = re.search(r"--proxy-mode .*?(?=\n +--|\n\n|\Z)", text, re.S)
    modes = [mode for mode in ("nftables", "iptables", "ipvs") if found and mode in found[0]]
    if not modes:
        raise InputError(f"{program}: expected a kube-proxy, whose --help tells of --proxy-mode")
    # Before 1.21 there was no discovery.k8s.io/v1, and the slices that it could read are served by nobody any more.
    reads_endpoints = "EndpointSliceProxying" in text
    more = ["--feature-gates=EndpointSliceProxying=false"] if reads_endpoints and not flags else []
    for mode in modes:
        command: tuple[str | Path, ...] = (
            program,
            *_COMMON,
            f"--proxy-mode={mode}",
            # It would write everything again while another contender is measured.
            "--iptables-sync-period=1h",
            "--ipvs-sync-period=1h",
            *more,
            *flags,
        )
        for variant in ("legacy", "nft") if mode == "iptables" else ("",):
            name = f"kube-proxy {mode}{f'-{variant}' if variant else ''}"
            yield Contender(name, version, command, variant, reads_endpoints, aside=variant == "nft")


def missing(contender: Contender, node: Host) -> str:
    """Why this mode cannot be tried on this node; "" if it can."""
    if "ipvs" in contender.name and not _says_yes(node, "test -e /proc/net/ip_vs"):
        return "this kernel has no IPVS"
    if "nfqueue python" in contender.name:
        python = Path(contender.command[0]).with_name("python")
        if not _says_yes(node, f"{shlex.quote(str(python))} -c 'import netfilterqueue'"):
            return "NetfilterQueue is not installed"
    for variant in ("legacy", "nft"):
        program = f"iptables-{variant}"
        if program in contender.name and not _says_yes(node, f"PATH=$PATH:/usr/sbin command -v {program}"):
            return f"no {program} here"
    return ""


def _says_yes(node: Host, script: str) -> bool:
    try:
        node.run(["sh", "-c", script])
    except CommandFailedError:
        return False
    return True


def _said_by(program: Path, option: str) -> str:
    try:
        run = subprocess.run([program, option], capture_output=True, text=True, timeout=30)
    except OSError as error:
        raise InputError(f"--kube-proxy {program}: {error.strerror}") from None
    return run.stdout.strip() + run.stderr
