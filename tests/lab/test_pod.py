"""The built-in server of the pods, and the spawner that starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.network.network import Network
from lab.network.probe import Probe, fetch, run_probe
from lab.pod.messages import Event, Exited
from lab.pod.processes import Processes
from patience import PATIENCE

pytestmark = pytest.mark.kernel


def wait_for_exit(processes: Processes, name: str) -> Exited:
    """The Exited event of one process; others are passed over."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found: list[Event] = list(processes.events())
        for event in found:
            if isinstance(event, Exited) and event.name == name:
                return event
        time.sleep(0.01)
    raise AssertionError(f"{name} still runs")


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("port", [8080, 8081, 5353])
@pytest.mark.parametrize("address", ["10.244.1.21", "fd00:244:1::15"])
def test_a_pod_answers_who_it_is_and_whom_it_saw(
    network: Network, servers: Path, protocol: str, port: int, address: str
) -> None:
    outcome = run_probe(network["c1"], Probe(address, port, protocol, count=3, timeout=PATIENCE))
    assert outcome.errors == ()
    for answer in outcome.answers:
        assert (answer.pod, answer.peer_port) == ("b1", answer.source_port)
        assert answer.peer_address == ("fd00:244:1::a" if ":" in address else "10.244.1.10")


def test_json_says_more(network: Network, servers: Path) -> None:
    status, body = fetch(network["c1"], "10.244.2.23", 8080, "/json", timeout=PATIENCE)
    told = json.loads(body)
    assert status == 200
    assert (told["pod"], told["namespace"], told["node"]) == ("b3", "default", "n2")
    assert told["peer"]["address"] == "10.244.1.10"
    assert told["local"] == {"address": "10.244.2.23", "port": 8080}


def test_readiness_can_be_switched_from_outside(network: Network, servers: Path) -> None:
    def post(value: str) -> str:
        argv = ["curl", "-s", "-X", "POST", f"http://10.244.1.21:8080/ready?value={value}"]
        return network["c1"].run(argv).stdout

    assert fetch(network["c1"], "10.244.1.21", 8080, "/readyz", timeout=PATIENCE)[0] == 200
    assert post("false") == "ready: false\n"
    assert fetch(network["c1"], "10.244.1.21", 8080, "/readyz", timeout=PATIENCE)[0] == 503
    assert fetch(network["c1"], "10.244.1.21", 8080, "/healthz", timeout=PATIENCE)[0] == 200
    assert post("perhaps").startswith("POST /ready?value=true")
    assert post("true") == "ready: true\n"
    assert fetch(network["c1"], "10.244.1.21", 8080, "/readyz", timeout=PATIENCE)[0] == 200


def test_one_connection_takes_several_questions_in_pieces(network: Network, servers: Path) -> None:
    with network["c1"].socket() as connection:
        connection.settimeout(PATIENCE)
        connection.connect(("10.244.1.21", 8080))
        port = connection.getsockname()[1]
        for piece in (b"wh", b"o\nag", b"ain\n"):
            connection.sendall(piece)
        received = b""
        while received.count(b"\n") < 2:
            received += connection.recv(100)
        assert received.decode() == f"b1 10.244.1.10 {port}\n" * 2


def test_a_datagram_is_answered_from_the_address_it_was_sent_to(network: Network, servers: Path) -> None:
    network["b1"].run(["ip", "address", "add", "198.51.100.7/32", "dev", "lo"])
    network["n1"].run(["ip", "route", "add", "198.51.100.7/32", "via", "10.244.1.21", "dev", "pod-b1", "onlink"])
    with network["c1"].socket(kind=socket.SOCK_DGRAM) as asker:
        asker.settimeout(PATIENCE)
        asker.sendto(b"who\n", ("198.51.100.7", 5353))
        _, answered_from = asker.recvfrom(100)
    assert answered_from == ("198.51.100.7", 5353)


def test_an_unknown_path_says_what_there_is(network: Network, servers: Path) -> None:
    status, body = fetch(network["c1"], "10.244.1.21", 8080, "/nothing", timeout=PATIENCE)
    assert status == 404
    assert b"/readyz" in body


def test_a_server_that_is_asked_to_end_takes_new_connections_while_it_drains(
    network: Network, processes: Processes, servers: Path
) -> None:
    log = servers / "draining"
    processes.start_pod("draining", network["c1"], log=str(log), tcp_ports=[9000], udp_ports=[], drain_seconds=600)
    processes.wait_listening(["draining"], timeout=PATIENCE)
    processes.signal("draining", signal.SIGTERM)
    wait_for(lambda: "drains" in log.read_text())
    assert run_probe(network["n1"], Probe("10.244.1.10", 9000, count=1, timeout=PATIENCE)).pods == {"draining": 1}
    processes.signal("draining", signal.SIGKILL)
    wait_for_exit(processes, "draining")


def test_a_server_that_has_drained_takes_no_new_connection_and_ends_with_its_last_one(
    network: Network, processes: Processes, servers: Path
) -> None:
    processes.start_pod(
        "drained", network["c1"], log=str(servers / "drained"), tcp_ports=[9001], udp_ports=[], drain_seconds=0
    )
    processes.wait_listening(["drained"], timeout=PATIENCE)
    with network["n1"].socket() as held:
        held.settimeout(PATIENCE)
        held.connect(("10.244.1.10", 9001))
        held.sendall(b"who\n")  # so that it has been taken
        assert held.recv(100).startswith(b"drained ")
        processes.signal("drained", signal.SIGTERM)
        wait_for(lambda: run_probe(network["n1"], Probe("10.244.1.10", 9001, count=1)).errors == ("refused",))
        held.sendall(b"who\n")
        assert held.recv(100).startswith(b"drained ")
    assert wait_for_exit(processes, "drained").code == 0


def test_a_port_that_is_taken_ends_the_server_with_a_reason(
    network: Network, processes: Processes, servers: Path
) -> None:
    processes.start_pod("second", network["b1"], log=str(servers / "second"))
    assert wait_for_exit(processes, "second").code == 1
    assert "cannot serve: Address already in use" in (servers / "second").read_text()


def test_a_program_runs_inside_its_machine_and_its_end_is_told(
    network: Network, processes: Processes, tmp_path: Path
) -> None:
    argv = ["sh", "-c", "echo $GREETING; ip -o link; exit 7"]
    log = tmp_path / "log"
    processes.start_program("tool", network["c1"], argv, log=str(log), environment={"GREETING": "hello"})
    assert wait_for_exit(processes, "tool").code == 7
    assert log.read_text().startswith("hello\n")
    assert "eth0@" in log.read_text()


def test_a_program_that_does_not_exist_says_so_in_its_log(
    network: Network, processes: Processes, tmp_path: Path
) -> None:
    processes.start_program("none", network["c1"], ["/no/such/program"], log=str(tmp_path / "log"))
    assert wait_for_exit(processes, "none").code == 1
    assert "No such file" in (tmp_path / "log").read_text()


def test_nothing_outlives_a_lab_that_is_killed(network: Network, tmp_path: Path) -> None:
    """The lab is a process of its own here, killed with SIGKILL while a program and a pod run."""
    script = f"""
import time
from lab.network.namespace import Namespace
from lab.pod.processes import Processes
processes = Processes()
machine = Namespace({network.lab!r}, "n2")
processes.start_pod("orphan", machine, log={str(tmp_path / "pod")!r}, tcp_ports=[9100], udp_ports=[])
processes.start_program("sleeper", machine, ["sh", "-c", "echo $$; exec sleep 600"], log={str(tmp_path / "log")!r})
processes.wait_listening(["orphan"])
print("up", flush=True)
time.sleep(600)
"""
    lab = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert lab.stdout is not None
    assert lab.stdout.readline() == "up\n"
    assert run_probe(network["n1"], Probe("192.0.2.2", 9100, count=1, timeout=PATIENCE)).pods == {"orphan": 1}
    deadline = time.monotonic() + PATIENCE
    while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
    sleeper = int((tmp_path / "log").read_text())
    lab.kill()
    lab.wait()
    while run_probe(network["n1"], Probe("192.0.2.2", 9100, count=1)).errors != ("refused",):
        assert time.monotonic() < deadline
    while os.path.exists(f"/proc/{sleeper}"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
