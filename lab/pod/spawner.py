"""The process that starts the lab's other processes: ``python -m lab.pod.spawner DESCRIPTOR``.

It has everything imported that a pod's server needs, and one thread, so a fork of it is a pod in a few milliseconds
that shares its memory. The kernel kills its children when it ends (PR_SET_PDEATHSIG), and it ends when the lab's end
of the socket closes, which the kernel does even when the lab is killed with SIGKILL. So nothing is left running.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
from typing import NoReturn

import msgspec

from lab.network import syscalls
from lab.pod.messages import MOST_BYTES, Execute, Exited, Listening, Order, Signal, Start
from lab.pod.server import PodServer, run

_DECODER = msgspec.json.Decoder(Order)
_ENCODER = msgspec.json.Encoder()


class Spawner:
    def __init__(self, lab: socket.socket) -> None:
        self._lab = lab
        self._names: dict[int, str] = {}  #: process id -> name, of those that run
        # A signal that Python handles is written to this pipe, which wakes the loop up.
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Carry out orders until the lab hangs up."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._lab, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj == self._woken:
                        os.read(self._woken, 4096)
                        self._reap()
                    else:
                        message = self._lab.recv(MOST_BYTES)
                        if not message:
                            return
                        self._carry_out(_DECODER.decode(message))

    def _carry_out(self, order: Order) -> None:
        match order:
            case Start():
                spawner = os.getpid()
                child = os.fork()
                if child == 0:
                    self._become(order, spawner)
                self._names[child] = order.name
            case Signal(name, number):
                for process, its_name in self._names.items():
                    if its_name == name:
                        os.kill(process, number)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                process, status = os.waitpid(-1, os.WNOHANG)
                if process == 0:
                    return
                name = self._names.pop(process)
                self._lab.send(_ENCODER.encode(Exited(name, os.waitstatus_to_exitcode(status))))

    def _become(self, start: Start, spawner: int) -> NoReturn:
        """In the child: be the process that was ordered."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()  # a Ctrl-C at the lab's terminal is not meant for the pods
            syscalls.die_with_parent(spawner)
            log = os.open(start.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
            syscalls.enter_network(start.netns)
            code = self._work(start)
        except BaseException as error:
            print(f"cannot start {start.name}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)  # nothing that the spawner registered for its own exit may run here

    def _work(self, start: Start) -> int:
        work = start.work
        if isinstance(work, Execute):
            os.execvpe(work.argv[0], work.argv, os.environ | work.environment)
        server = PodServer(work.pod, work.node, work.namespace, work.drain_seconds)
        return run(server, work.tcp_ports, work.udp_ports, lambda: self._say_listening(start.name))

    def _say_listening(self, name: str) -> None:
        self._lab.send(_ENCODER.encode(Listening(name)))
        self._lab.close()


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as lab:
        # Ctrl-C goes to the whole foreground group; the lab decides what ends and when, by hanging up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Spawner(lab).run()


if __name__ == "__main__":
    main()
