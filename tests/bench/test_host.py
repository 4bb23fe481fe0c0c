"""Machines that take part: the same is asked of a namespace and of a machine behind SSH."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.harness.host import CommandFailedError, Host, NamespaceHost, SshHost
from lab.network.namespace import Namespace


@pytest.fixture(params=["namespace", "ssh"])
def host(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    if request.param == "ssh":
        # In ssh's place: what it would hand to the shell over there is given to one here.
        stand_in = tmp_path / "ssh"
        stand_in.write_text('#!/bin/sh\nshift\nexec sh -c "$*"\n')
        stand_in.chmod(0o755)
        monkeypatch.setattr(SshHost, "FOLDER", str(tmp_path / "brought"))
        yield SshHost("root@elsewhere", ssh=[str(stand_in)])
        return
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace of its own")
    namespace = Namespace(f"host-{os.getpid()}", "m").create()
    yield NamespaceHost(namespace, "0")
    namespace.delete()


def test_a_command_runs_there_and_its_words_stay_words(host: Host) -> None:
    assert host.run(["printf", "%s|", "two words", "$HOME", "it's"]) == "two words|$HOME|it's|"


def test_a_command_reads_what_it_is_given(host: Host) -> None:
    assert host.run(["cat"], stdin="hello") == "hello"


def test_a_command_that_fails_is_told_of_with_what_it_said(host: Host) -> None:
    with pytest.raises(CommandFailedError, match=r"ls /nowhere: exit code 2: .*No such file"):
        host.run(["ls", "/nowhere"])


def test_a_command_that_does_not_end_is_given_up(host: Host) -> None:
    with pytest.raises(CommandFailedError, match="not done"):
        host.run(["sleep", "1000"], timeout=0.2)


def test_a_program_is_talked_with_line_by_line(host: Host) -> None:
    program = host.start(["sed", "-u", "s/a/b/"])
    program.write_line("banana")
    assert program.read_line() == "bbnana\n"
    assert program.running
    program.stop()
    assert not program.running


def test_a_program_that_ignores_the_end_is_killed(host: Host) -> None:
    program = host.start(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])
    assert program.read_line() == "ready\n"
    program.stop(patience=0.3)
    assert not program.running


def test_a_program_can_be_stopped_and_go_on(host: Host) -> None:
    program = host.start(["sh", "-c", "while read line; do echo $line; done"])
    program.signal(signal.SIGSTOP)
    program.write_line("late")
    program.signal(signal.SIGCONT)
    assert program.read_line() == "late\n"
    program.stop()


def test_a_file_that_is_brought_can_be_run(host: Host, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho here\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    assert host.run([host.bring(script)]) == "here\n"
    assert host.run([host.bring(script)]) == "here\n"


def test_a_namespace_shows_its_own_interfaces() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace of its own")
    namespace = Namespace(f"host-{os.getpid()}", "own").create()
    try:
        assert NamespaceHost(namespace).run(["ls", "/sys/class/net"]).split() == ["lo"]
    finally:
        namespace.delete()
