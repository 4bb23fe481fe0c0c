"""A machine that takes part: run a command there, start and stop a program, bring a file.

Two kinds: a network namespace here, and a machine that SSH reaches. Nothing else in the harness knows which it is.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Protocol

from lab.network.namespace import Namespace

Words = Sequence[str | Path]
Log = IO[str] | None


class CommandFailedError(Exception):
    """A command on a host ended with another exit code than 0; the message is the end of what it said."""


class Program:
    """A program that runs on a host. Its standard input and output are text, line by line."""

    def __init__(
        self,
        what: str,
        process: subprocess.Popen[str],
        number: int,
        signal_it: Callable[[Sequence[signal.Signals]], None],
    ) -> None:
        self._what = what
        self._process = process
        self._number = number
        self._signal = signal_it

    def read_line(self) -> str:
        """The next line of its standard output, "" at the end. CommandFailedError if it has failed instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line and self._process.wait() not in (0, -signal.SIGTERM):
            raise CommandFailedError(f"{self._what}: exit code {self._process.returncode}")
        return line

    def write_line(self, line: str = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    @property
    def number(self) -> int:
        """Its process number on the host."""
        return self._number

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, *which: signal.Signals) -> None:
        """Send it these signals, one after the other, if it runs."""
        if self.running:
            self._signal(which)

    def signal_end(self) -> None:
        """Ask it to come to its end."""
        self.signal(signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> str:
        """What it still says, when it has ended by itself. CommandFailedError for another exit code than 0."""
        try:
            said, _ = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise CommandFailedError(f"{self._what}: not done after {timeout:g} s") from None
        if self._process.returncode != 0:
            raise CommandFailedError(f"{self._what}: exit code {self._process.returncode}: {said[-1000:]}")
        return said

    def stop(self, patience: float = 10.0) -> str:
        """End it, and return what it still says. Whoever does not end in `patience` seconds is killed."""
        self.signal(signal.SIGCONT, signal.SIGTERM)
        try:
            return self._process.communicate(timeout=patience)[0]
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
        try:
            return self._process.communicate(timeout=patience)[0]
        except subprocess.TimeoutExpired:
            return ""  # what it has started goes on, and holds its output


class Host(Protocol):
    """A machine that takes part in a measurement."""

    @property
    def name(self) -> str:
        """For messages."""

    def run(self, words: Words, *, stdin: str = "", timeout: float = 60.0) -> str:
        """What a command says. CommandFailedError if its exit code is not 0, or after `timeout` seconds."""

    def start(self, words: Words, *, log: Log = None) -> Program:
        """Start a program; its standard error goes to `log`, if there is one."""

    def bring(self, file: Path) -> str:
        """Make sure that this (executable) file of ours is there, and say by what path."""


class NamespaceHost:
    """A network namespace of this machine, and the processors (as taskset lists them) that its programs may use."""

    def __init__(self, namespace: Namespace, processors: str = "") -> None:
        self.namespace = namespace
        self._pin = ("taskset", "--cpu-list", processors) if processors else ()

    @property
    def name(self) -> str:
        return self.namespace.machine

    def run(self, words: Words, *, stdin: str = "", timeout: float = 60.0) -> str:
        return _run(self.name, self._inside(words), words, stdin, timeout)

    def start(self, words: Words, *, log: Log = None) -> Program:
        process = _start(self._inside(words), log)

        def send(which: Sequence[signal.Signals]) -> None:
            for each in which:
                process.send_signal(each)

        return Program(f"{self.name}: {_told(words)}", process, process.pid, send)

    def bring(self, file: Path) -> str:
        return str(file)

    def _inside(self, words: Words) -> list[str]:
        # By `ip netns exec` and not by entering it ourselves: it also shows the namespace's own interfaces in /sys.
        return ["ip", "netns", "exec", self.namespace.name, *self._pin, *map(str, words)]


class SshHost:
    """A machine that ``ssh TARGET`` reaches as root without asking for anything."""

    FOLDER = "/tmp/svcplane-bench"  #: where what is brought goes

    def __init__(
        self,
        target: str,
        processors: str = "",
        ssh: Sequence[str] = ("ssh", "-o", "BatchMode=yes"),
        commands: Sequence[str] = (),
        programs: Sequence[str] = (),
    ) -> None:
        """`commands` and `programs` are more words for ssh, for short commands and for programs that go on: those by
        which they share a connection. Each kind has its own, since a server lets one have so many sessions (sshd's
        MaxSessions, usually ten); whatever comes after those has a connection for itself.
        """
        self._target = target
        self._ssh = tuple(ssh)
        self._commands = tuple(commands)
        self._programs = tuple(programs)
        self._pin = ("taskset", "--cpu-list", processors) if processors else ()
        self._brought: dict[Path, str] = {}

    @property
    def name(self) -> str:
        return self._target

    def run(self, words: Words, *, stdin: str = "", timeout: float = 60.0) -> str:
        # Bounded there too: with ssh alone given up, the command would go on.
        bounded = shlex.join(["timeout", "--kill-after=1", f"{timeout:g}", *self._words(words)])
        return _run(self.name, self._remote(bounded, self._commands), words, stdin, timeout)

    def start(self, words: Words, *, log: Log = None) -> Program:
        # A signal to ssh would not reach the program, so it says its number before it begins.
        process = _start(self._remote(f"echo $$; exec {shlex.join(self._words(words))}", self._programs), log)
        assert process.stdout is not None
        number = process.stdout.readline().strip()
        if not number:
            raise CommandFailedError(f"{self.name}: {_told(words)}: SSH ended with {process.wait()}")

        def send(which: Sequence[signal.Signals]) -> None:
            with contextlib.suppress(CommandFailedError):  # it has ended meanwhile
                self.run(["sh", "-c", "; ".join(f"kill -{each.value} {number}" for each in which)])

        return Program(f"{self.name}: {_told(words)}", process, int(number), send)

    def bring(self, file: Path) -> str:
        if file not in self._brought:
            there = f"{self.FOLDER}/{file.name}"
            command = f"mkdir -p {self.FOLDER} && cat >{there}.new && chmod 755 {there}.new && mv {there}.new {there}"
            with file.open("rb") as contents:
                subprocess.run(self._remote(command), stdin=contents, check=True, timeout=120)
            self._brought[file] = there
        return self._brought[file]

    def _words(self, words: Words) -> list[str]:
        return [*self._pin, *map(str, words)]

    def _remote(self, command: str, shared: Sequence[str] = ()) -> list[str]:
        return [*self._ssh, *shared, self._target, command]


def _run(host: str, command: Sequence[str], words: Words, stdin: str, timeout: float) -> str:
    try:
        run = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise CommandFailedError(f"{host}: {_told(words)}: not done after {timeout:g} s") from None
    if run.returncode != 0:
        raise CommandFailedError(f"{host}: {_told(words)}: exit code {run.returncode}: {run.stderr[-1000:].strip()}")
    return run.stdout


def _start(command: Sequence[str], log: Log) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log or subprocess.DEVNULL, text=True, bufsize=1
    )


def _told(words: Words) -> str:
    return shlex.join(map(str, words))[:200]
