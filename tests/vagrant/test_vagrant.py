"""vagrant/, as far as it can be tried without virtual machines. vagrant/README.md says what was tried with them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "vagrant"
SCRIPTS = sorted(
    path for path in FOLDER.rglob("*") if path.is_file() and path.read_bytes().startswith((b"#!/bin/bash", b"# "))
    and path.suffix in ("", ".sh") and path.name != "Vagrantfile"
)  # fmt: skip


def test_vagrant_can_read_the_vagrantfile(tmp_path: Path) -> None:
    if shutil.which("vagrant") is None:
        pytest.skip("needs vagrant")
    environment = dict(os.environ, VAGRANT_HOME=str(tmp_path / "home"), VAGRANT_DOTFILE_PATH=str(tmp_path / "dot"))
    run = subprocess.run(
        ["vagrant", "validate", "--ignore-provider"], cwd=FOLDER, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_bash_can_read(script: Path) -> None:
    run = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck")
    run = subprocess.run(["shellcheck", "-x", *SCRIPTS], cwd=FOLDER.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_both_ways_to_machines_give_them_the_same_numbers() -> None:
    vagrantfile = dict(re.findall(r'"(\w+)" => (\d+)', (FOLDER / "Vagrantfile").read_text()))
    without_kvm = dict(re.findall(r"\[(\w+)\]=(\d+)", (FOLDER / "without-kvm").read_text()))
    assert vagrantfile == without_kvm
    (machines,) = re.findall(r"^MACHINES=\((.*)\)$", (FOLDER / "machines.sh").read_text(), re.MULTILINE)
    assert machines.split() == list(vagrantfile)


class Machines:
    """The folder's scripts beside an `ssh` that writes down what it is asked, and answers as a small cluster would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "vagrant"
        shutil.copytree(FOLDER, self.folder, ignore=shutil.ignore_patterns(".vagrant", "*.box", "*.img"))
        (self.folder / ".vagrant").mkdir()
        (self.folder / ".vagrant" / "ssh-config").touch()
        self.log = folder / "log"
        self.log.touch()
        self.programs = folder / "programs"
        self.programs.mkdir()
        ssh = self.programs / "ssh"
        ssh.write_text(
            "#!/bin/bash\n"
            'while [ "$1" != -- ]; do machine=$1; shift; done; shift\n'
            f'echo "$machine: $*" >>{self.log}\n'
            'case "$*" in\n'
            '*"get configmap kube-proxy"*) echo "    mode: nftables" ;;\n'
            '*"get daemonset svcplane"*) echo daemonset.apps/svcplane ;;\n'
            '*"get daemonset kube-proxy"*) echo kube-proxy:v1 ;;\n'
            f'*"apply -f -") cat >>{self.log} ;;\n'
            "esac\n"
        )
        ssh.chmod(0o755)

    def switch(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = dict(os.environ, PATH=f"{self.programs}{os.pathsep}{os.environ['PATH']}")
        return subprocess.run(
            [self.folder / "switch", *words], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    def first(self, pattern: str) -> int:
        """The number of the first line of the log with this in it."""
        lines = self.log.read_text().splitlines()
        return next(number for number, line in enumerate(lines) if re.search(pattern, line))


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    return Machines(tmp_path)


def test_svcplane_is_in_force_before_kube_proxy_goes(machines: Machines) -> None:
    run = machines.switch("svcplane", "nftables")
    assert run.returncode == 0, run.stderr
    assert run.stdout == "svcplane serves the cluster in mode nftables\n"
    ready = machines.first("rollout status daemonset/svcplane")
    away = machines.first("patch daemonset kube-proxy")
    cleaned = machines.first("worker2: .*kube-proxy --cleanup")
    assert machines.first('mode: "nftables"') < ready < away < cleaned


def test_kube_proxy_is_in_force_before_svcplane_goes(machines: Machines) -> None:
    run = machines.switch("kube-proxy", "ipvs")
    assert run.returncode == 0, run.stderr
    ready = machines.first("rollout status daemonset/kube-proxy")
    gone = machines.first("kubectl delete")
    cleaned = machines.first("worker2: .*svcplane agent --cleanup")
    assert machines.first('mode: "ipvs"') < ready < gone < cleaned


def test_chains_that_both_write_are_left_to_the_new_one(machines: Machines) -> None:
    assert machines.switch("svcplane", "iptables").returncode == 0
    assert "kube-proxy --cleanup" not in machines.log.read_text()


@pytest.mark.parametrize("words", [("svcplane",), ("svcplane", "ebpf"), ("kube-proxy", "userspace"), ("a", "b", "c")])
def test_what_cannot_be_is_refused_before_anything_is_asked(machines: Machines, words: tuple[str, ...]) -> None:
    run = machines.switch(*words)
    assert run.returncode == 2
    assert "vagrant/switch kube-proxy nftables|iptables|ipvs" in run.stderr
    assert machines.log.read_text() == ""
