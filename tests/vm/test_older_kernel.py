"""What must also work on the kernel that Debian 12 runs, and what only that kernel can do: one VM, and tests inside it.

Without KVM everything takes some ten times as long. So `make test` runs a few of them, where a VM has been prepared,
and `make vm` prepares one and runs all.
"""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent

_IPVS = "tests/dataplane/ipvs/test_kernel.py"
_PACKETS = "tests/conformance/test_packets.py"
_CASES = f"{_PACKETS}::test_packets_go_where_kube_proxy_sent_them"


@dataclass(frozen=True)
class Selection:
    """Tests that run inside: files and folders, as far as they are marked `kernel`, without those that are left out."""

    inside: tuple[str, ...]
    arguments: tuple[str, ...]
    seconds: int  #: for all of it; some times what it takes on a busy machine

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(path.partition("::")[0] for path in self.inside))


#: IPVS, which the kernel at hand may lack.
FEW = Selection(
    (
        _IPVS,
        *(f"{_CASES}[ipvs-{case}]" for case in ("clusterip-tcp-udp", "affinity-clientip", "loadbalancer-etp-local")),
    ),
    (
        "--deselect",
        "tests/dataplane/ipvs/test_kernel.py::test_a_sequence_of_tables_ends_like_one_cold_apply_of_the_last",
    ),
    900,
)

#: But not random sequences of tables, which take too long; nor 400 connections at once, which an emulated processor
#: does not answer in time; nor iptables, whose kernel side is older than either kernel.
EVERYTHING = Selection(
    (
        "tests/dataplane/test_netlink_channel.py",
        "tests/dataplane/test_conntrack.py",
        "tests/dataplane/nftables",
        "tests/dataplane/ipvs",
        _PACKETS,
        "tests/conformance/test_mode_change.py",
    ),
    (
        *("--deselect", "tests/dataplane/nftables/test_properties.py"),
        *("--deselect", f"{_CASES}[nftables-fairness]"),
        *("--deselect", f"{_CASES}[ipvs-fairness]"),
        *("-k", "not iptables and not userspace"),
    ),
    3600,
)

SELECTION = EVERYTHING if os.environ.get("SVCPLANE_VM") == "1" else FEW


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """File → test → "passed", or what it said. The VM runs once."""
    if os.environ.get("SVCPLANE_VM") == "0":
        pytest.skip("SVCPLANE_VM=0")
    looked = subprocess.run([HERE / "prepare", "--look"], capture_output=True, text=True)
    if looked.returncode != 0:
        pytest.skip(looked.stderr.strip())
    out = tmp_path_factory.mktemp("vm")
    report = out / "report.xml"
    tests = (*SELECTION.arguments, *SELECTION.inside)
    command = [HERE / "run", "-q", "-m", "kernel", "--timeout=300", f"--junitxml={report}", *tests]
    limits = {"SVCPLANE_VM_OUT": str(out), "SVCPLANE_VM_SECONDS": str(SELECTION.seconds)}
    ran = subprocess.run(command, env=os.environ | limits, capture_output=True, text=True, cwd=PROJECT)
    assert report.exists(), f"the VM ended with {ran.returncode}:\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
    found: dict[str, dict[str, str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        told = [child for child in case if child.tag in ("failure", "error", "skipped")]
        said = [f"{child.tag}: {child.get('message')}" for child in told if child.get("type") != "pytest.xfail"]
        of_file = found.setdefault(case.get("classname", "").replace(".", "/"), {})
        of_file[case.get("name", "")] = "; ".join(said) or "passed"
    return found


@pytest.mark.long
@pytest.mark.timeout(SELECTION.seconds + 60)
@pytest.mark.parametrize("path", SELECTION.files)
def test_everything_passes_that_passes_on_this_kernel(path: str, outcomes: dict[str, dict[str, str]]) -> None:
    beneath = path.removesuffix(".py")
    found = {
        f"{file}::{name}": said
        for file, tests in outcomes.items()
        if file == beneath or file.startswith(f"{beneath}/")
        for name, said in tests.items()
    }
    assert Counter(found.values())["passed"] > 0
    assert {name: said for name, said in found.items() if said != "passed"} == {}
