"""A contender in its world: started, checked, measured in its turn, stopped again."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from bench.harness import cluster
from bench.harness.api_server import PORT
from bench.harness.backends import Sinks, serving
from bench.harness.check import WrongAnswerError, check, check_something
from bench.harness.contenders import KUBECONFIG, Contender, missing
from bench.harness.host import CommandFailedError, Program
from bench.harness.target import Target
from bench.harness.world import World

#: What ends a contender's part, and is then told in its place.
FAILURES = (CommandFailedError, WrongAnswerError)

METRICS_PORT = 10249  #: at 127.0.0.1 of the node
_TRIES = 3
_QUIET = 1.5  #: seconds in which an agent has started no program
_SETTLE = 2  #: times as long as it may take to answer; then it is measured as it is

_KUBECONFIG = f"""\
apiVersion: v1
kind: Config
current-context: bench
contexts: [{{name: bench, context: {{cluster: bench, user: bench}}}}]
clusters: [{{name: bench, cluster: {{server: "http://127.0.0.1:{PORT}"}}}}]
users: [{{name: bench, user: {{}}}}]
"""

_ONLY_IPTABLES = """\
folder=/tmp/svcplane-bench/iptables-$1; mkdir -p $folder
for version in iptables ip6tables; do
    for tool in "" -save -restore; do ln -sf /usr/sbin/$version-$1$tool $folder/$version$tool; done
done
shift; PATH=$folder:$PATH; exec "$@"
"""


class Entrant:
    """`trouble` says why nothing (more) is measured of it: it is absent, too slow, or broken."""

    def __init__(self, contender: Contender, world: World, sinks: Sinks, services: int, folder: Path) -> None:
        self.contender = contender
        self.world = world
        self.sinks = sinks
        self.services = services
        self.trouble = ""
        self.unsettled = False  #: it still did other things when it was measured
        self.ready_after: float | None = None  #: seconds from its start to the first right answer
        self.memory: float | None = None  #: MB, when it was ready
        self._folder = folder
        self._log: TextIO | None = None
        self._agent: Program | None = None

    @property
    def name(self) -> str:
        return self.contender.name

    @property
    def running(self) -> bool:
        """Whether its agent is there."""
        return self._agent is not None and self._agent.running

    def target(self, *, services: int | None = None) -> Target:
        """Whom the client asks: the first so many Services (all, if it is not said), or the backends themselves."""
        if self.contender.is_ceiling:
            return Target(cluster.BACKENDS[0], len(cluster.BACKENDS), cluster.ASK_PORT)
        return Target(cluster.first_address, min(services or self.services, self.services), 80)

    def flows_target(self) -> Target:
        """Who answers datagrams: a Service of all backends, or a backend."""
        if self.contender.is_ceiling:
            return Target(cluster.BACKENDS[0], 1, cluster.DATAGRAM_PORT)
        return Target(cluster.FLOWS, 1, 80)

    def scaled_target(self) -> Target:
        """Who answers datagrams, and may lose a backend meanwhile."""
        if self.contender.is_ceiling:
            return self.flows_target()
        return Target(cluster.SCALED, 1, 80)

    def kill(self) -> None:
        """End its agent as the kernel does when memory is short: at once (SIGKILL)."""
        if self._agent:
            self._agent.signal(signal.SIGKILL)
            self._agent.stop()

    def revive(self, limit: float) -> None:
        """Start its agent again, and wait until something is answered. WrongAnswerError after `limit` seconds."""
        if not self._agent:
            return
        self._agent = self._start_agent()
        began = time.monotonic()
        while True:
            try:
                check_something(self)
                return
            except FAILURES as error:
                if time.monotonic() - began > limit:
                    raise WrongAnswerError(f"no answer {limit:g} s after it was killed and started: {error}") from None

    def counted(self, name: str, label: str = "") -> float:
        """The sum of a metric's series, of those with a label as in `outcome="lost"`; 0 if its agent has none."""
        if not self._agent:
            return 0
        said = self.world.node.run(["curl", "-s", f"http://127.0.0.1:{METRICS_PORT}/metrics"])
        series = re.findall(rf"^{name}({{[^\n]*}})? (\S+)$", said, re.M)
        return sum(float(value) for labels, value in series if label in labels)

    def start(self, limit: float) -> None:
        """Start its agent and wait until all is answered right, but no longer than `limit` seconds."""
        absent = self.contender.absent or missing(self.contender, self.world.node)
        if absent:
            self.trouble = f"ABSENT: {absent}"
            return
        began = time.monotonic()
        if self.contender.command:
            self._agent = self._start_agent()
        complaint = ""
        while time.monotonic() - began < limit:
            try:
                check_something(self)
                check(self)
                self.ready_after = time.monotonic() - began
                self.memory = self.resident()
                self._settle(_SETTLE * limit)
                return
            except FAILURES as error:
                complaint = str(error)
                if self._agent and not self._agent.running:
                    self.trouble = f"BROKEN: it ended: {self._last_words()}"
                    return
                time.sleep(0.1)
        self.trouble = f"TOO SLOW: not ready after {limit:.0f} s ({complaint})"
        if self._agent:
            self._agent.stop()  # it would go on, and disturb those who are measured

    def _settle(self, limit: float) -> None:
        """Wait until its agent starts no programs any more.

        kube-proxy answers long before: it then runs `conntrack` for each UDP Service there is, one after the other,
        follows no change meanwhile, and takes the node's processor from its packets.
        """
        began = since = time.monotonic()
        spent = -1
        while self._agent and time.monotonic() - since < _QUIET and time.monotonic() - began < limit:
            # proc(5): after the name in brackets, cutime and cstime are fields 16 and 17.
            fields = self.world.node.run(["cat", f"/proc/{self._agent.number}/stat"]).rpartition(")")[2].split()
            if (by_children := int(fields[13]) + int(fields[14])) != spent:
                spent, since = by_children, time.monotonic()
            time.sleep(0.2)
        self.unsettled = self._agent is not None and time.monotonic() - since < _QUIET

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let its agent run meanwhile; when it is not its turn it stands still and disturbs nobody."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def verify(self) -> None:
        """Is it still right? If not, it is broken, whatever its figures were.

        Who is wrong may try again: on a machine that is busy a packet may get lost. Who is wrong each time is broken.
        """
        complaint = ""
        with self.turn():
            for _ in range(0 if self.trouble else _TRIES):
                try:
                    check(self)
                    return
                except FAILURES as error:
                    complaint = f"BROKEN: {error}"
        self.trouble = self.trouble or complaint

    def stop(self) -> None:
        if self._agent:
            self._agent.stop()
        if self._log:
            self._log.close()

    def _signal(self, which: signal.Signals) -> None:
        if self._agent:
            self._agent.signal(which)

    def _start_agent(self) -> Program:
        name = self.name.replace(" ", "-")
        kubeconfig = self._folder / "kubeconfig"
        kubeconfig.write_text(_KUBECONFIG)
        if self._log:
            self._log.close()
        self._log = (self._folder / f"{name}.log").open("w+")
        node = self.world.node
        there = node.bring(kubeconfig)
        # What the engine of mode userspace keeps for its successor goes with the rest of what was brought. A node has
        # a lock of its own for iptables, as machines have: iptables-restore holds it while its agent, who may stand
        # still just then, writes to it; all others would wait until that one's next turn.
        words = ["env", f"SVCPLANE_RUN={Path(there).with_name('run')}"]
        words.append(f"XTABLES_LOCKFILE={Path(there).with_name(f'xtables-{name}.lock')}")
        words += [
            node.bring(word) if isinstance(word, Path) else word.replace(KUBECONFIG, there)
            for word in self.contender.command
        ]
        if self.contender.iptables:
            # A folder in which "iptables" is the variant wanted.
            words = ["sh", "-c", _ONLY_IPTABLES, "sh", self.contender.iptables, *words]
        return node.start(words, log=self._log)

    def _last_words(self) -> str:
        if not self._log:
            return ""
        self._log.flush()
        return Path(self._log.name).read_text()[-300:].strip()

    def resident(self) -> float | None:
        """What its agent takes of memory now, in MB."""
        if not self._agent:
            return None
        found = re.search(
            r"^VmRSS:\s+(\d+) kB$", self.world.node.run(["cat", f"/proc/{self._agent.number}/status"]), re.M
        )
        return int(found[1]) * 1024 / 1e6 if found else None


@contextmanager
def entered(contender: Contender, world: World, services: int, folder: Path) -> Iterator[Entrant]:
    with ExitStack() as stack:
        entrant = Entrant(contender, world, stack.enter_context(serving(world.backends)), services, folder)
        stack.callback(entrant.stop)
        yield entrant
