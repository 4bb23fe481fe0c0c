"""What must also work on the kernel that Debian 12 runs: one VM, and in it the tests that ask the kernel something.

Without KVM it takes four to eight minutes, so `make test` skips this and `make vm` runs it.
"""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent

#: What runs inside: whole folders and files, as far as they are marked `kernel`.
INSIDE = (
    "tests/dataplane/test_netlink_channel.py",
    "tests/dataplane/test_conntrack.py",
    "tests/dataplane/nftables",
    "tests/conformance/test_packets.py",
)

_PACKETS = "tests/conformance/test_packets.py::test_packets_go_where_kube_proxy_sent_them"

#: But not random sequences of tables, which take too long; nor 400 connections at once, which an emulated processor
#: does not answer in time; nor other modes.
NOT_INSIDE = (
    *("--deselect", "tests/dataplane/nftables/test_properties.py"),
    *("--deselect", f"{_PACKETS}[nftables-fairness]"),
    *("-k", "not iptables"),
)

SECONDS = 1500  #: for all of it; three times what it takes on a busy machine


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """File → test → "passed", or what it said. The VM runs once."""
    if os.environ.get("SVCPLANE_VM") != "1":
        pytest.skip("a VM takes minutes without KVM: `make vm` runs this")
    looked = subprocess.run([HERE / "prepare", "--look"], capture_output=True, text=True)
    if looked.returncode != 0:
        pytest.skip(looked.stderr.strip())
    out = tmp_path_factory.mktemp("vm")
    report = out / "report.xml"
    command = [HERE / "run", "-q", "-m", "kernel", "--timeout=300", f"--junitxml={report}", *NOT_INSIDE, *INSIDE]
    limits = {"SVCPLANE_VM_OUT": str(out), "SVCPLANE_VM_SECONDS": str(SECONDS)}
    ran = subprocess.run(command, env=os.environ | limits, capture_output=True, text=True, cwd=PROJECT)
    assert report.exists(), f"the VM ended with {ran.returncode}:\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
    found: dict[str, dict[str, str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        said = [
            f"{child.tag}: {child.get('message')}" for child in case if child.tag in ("failure", "error", "skipped")
        ]
        of_file = found.setdefault(case.get("classname", "").replace(".", "/"), {})
        of_file[case.get("name", "")] = "; ".join(said) or "passed"
    return found


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("path", INSIDE)
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
