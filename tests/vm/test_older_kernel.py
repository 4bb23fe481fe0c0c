"""What must also work on the kernel that Debian 12 runs, and what only that kernel can do: one VM, and tests inside it.

Without KVM everything takes some ten times as long. So `make test` runs a few of them, where a VM has been prepared,
and `make vm` prepares one and runs all.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conformance.differences import ALL

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent

_IPVS = "tests/dataplane/ipvs/test_kernel.py"
_PACKETS = "tests/conformance/test_packets.py"
_RANDOM = "tests/conformance/test_random_clusters.py"
_CASES = f"{_PACKETS}::test_packets_go_where_kube_proxy_sent_them"


@dataclass(frozen=True)
class Selection:
    """Tests that run inside: files and folders, as far as they are marked `kernel`, without those that are left out."""

    inside: tuple[str, ...]
    arguments: tuple[str, ...]
    seconds: int  #: for all of it; some times what it takes on a busy machine

    @property
    def paths(self) -> tuple[str, ...]:
        """The files and folders, each once."""
        return tuple(dict.fromkeys(path.partition("::")[0] for path in self.inside))


def _cases(mode: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{_CASES}[{mode}-{name}]" for name in names)


#: IPVS, which the kernel at hand may lack, and a word with each mode that it has in common with this one.
FEW = Selection(
    (
        _IPVS,
        *_cases("ipvs", "clusterip-tcp-udp", "affinity-clientip", "loadbalancer-etp-local"),
        *_cases("ipvs", "host-network-endpoint-on-this-node", "udp-flow-ends-when-its-node-port-changes"),
        *_cases("nftables", "clusterip-tcp-udp"),
        *_cases("userspace", "clusterip-tcp-udp"),
    ),
    (
        # Its plugin reads all source files for constants to try; there is no property among these.
        *("-p", "no:hypothesispytest"),
        *("--deselect", f"{_IPVS}::test_a_sequence_of_tables_ends_like_one_cold_apply_of_the_last"),
    ),
    900,
)

#: What an emulated processor does not answer in time: 400 connections at once.
_TOO_MUCH = "fairness"

#: What is asked of userspace mode, through its queues and through AF_XDP: only its way to packets is the kernel's.
_OF_USERSPACE = (
    "clusterip-tcp-udp",
    "nodeport-etp-local",
    "loadbalancer-source-ranges-allow",
    "affinity-clientip",
    "dual-stack",
    "udp-flow-follows-endpoints",
    "hairpin-among-others",
    "no-endpoints",
    "host-network-endpoint-on-this-node",
)


def _every_case(mode: str) -> tuple[str, ...]:
    return _cases(mode, *(case.name for case in ALL if case.name != _TOO_MUCH))


#: But not random sequences of tables for nftables, which take too long; nor cases of iptables, whose kernel side is
#: older than either kernel.
EVERYTHING = Selection(
    (
        # First what no other kernel has shown.
        "tests/dataplane/ipvs",
        *_every_case("ipvs"),
        f"{_RANDOM}::test_packets_go_where_the_reference_says[ipvs]",
        f"{_RANDOM}::test_udp_flows_go_on_and_end_as_the_reference_says[ipvs]",
        "tests/conformance/test_mode_change.py",
        "tests/svcplane/test_clean_up.py",
        *_cases("userspace", *_OF_USERSPACE),
        *_cases("userspace-xdp", *_OF_USERSPACE),
        "tests/dataplane/test_netlink_channel.py",
        "tests/dataplane/test_conntrack.py",
        "tests/dataplane/nftables",
        *_every_case("nftables"),
    ),
    ("--deselect", "tests/dataplane/nftables/test_properties.py"),
    5400,
)

_TIME_WAS_UP = 124  # what tests/vm/run says then

SELECTION = EVERYTHING if os.environ.get("SVCPLANE_VM") == "1" else FEW
SECONDS = int(os.environ.get("SVCPLANE_VM_SECONDS", SELECTION.seconds))


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 60)
def test_everything_passes_that_passes_on_this_kernel(tmp_path: Path) -> None:
    """One test, so that several workers of pytest cannot come to have a VM each."""
    if os.environ.get("SVCPLANE_VM") == "0":
        pytest.skip("SVCPLANE_VM=0")
    looked = subprocess.run([HERE / "prepare", "--look"], capture_output=True, text=True)
    if looked.returncode != 0:
        pytest.skip(looked.stderr.strip())
    report = tmp_path / "report.xml"
    tests = (*SELECTION.arguments, *SELECTION.inside)
    command = [HERE / "run", "-v", "-m", "kernel", "--timeout=1200", f"--junitxml={report}", *tests]
    limits = {"SVCPLANE_VM_OUT": str(tmp_path), "SVCPLANE_VM_SECONDS": str(SECONDS)}
    # What it says is said at once where pytest takes no output (`make vm`), and kept for a failure where it does.
    ran = subprocess.run(command, env=os.environ | limits, cwd=PROJECT)
    output = (tmp_path / "output").read_text(errors="replace")
    if ran.returncode == _TIME_WAS_UP and SELECTION is FEW:
        assert [line for line in output.splitlines() if " FAILED " in line] == []
        pytest.skip(f"the VM was not done in {SECONDS} s on this machine (`make vm` gives it more)")
    assert (tmp_path / "exit-code").exists(), f"the VM ended with {ran.returncode}:\n{output[-3000:]}"
    said = dict(_said(report))
    files_that_passed = {name.partition("::")[0] for name, words in said.items() if words == "passed"}
    assert {path for path in SELECTION.paths if not any(f.startswith(path) for f in files_that_passed)} == set()
    assert {name: words for name, words in said.items() if words != "passed"} == {}


def _said(report: Path) -> Iterator[tuple[str, str]]:
    """Each test that ran, as `FILE::NAME`, and "passed" or what it said. That a case comes out differently passes."""
    for case in ElementTree.parse(report).iter("testcase"):
        told = [child for child in case if child.tag in ("failure", "error", "skipped")]
        words = [f"{child.tag}: {child.get('message')}" for child in told if child.get("type") != "pytest.xfail"]
        yield f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}", "; ".join(words) or "passed"
