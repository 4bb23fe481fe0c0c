"""The UDP sender and the sink: what was sent is what is counted, and it is as asked for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bench.load import build
from cable import Cable, counted_by

PORT = 8080

#: So few packets that the kernel holds them all (net.core.netdev_max_backlog) if the receiver does not have its turn.
FEW = {"rate": 1900, "milliseconds": 500}
ENOUGH = 20_000  #: packets, so that none in the sample is less likely than one in 10^8


def sink(cable: Cable) -> subprocess.Popen[str]:
    command = [build.program("udp_sink"), "--port", str(PORT)]
    process = cable.receiver.call(
        lambda: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def send(cable: Cable, **options: object) -> dict[str, Any]:
    fixed = {
        "interface": "eth0",
        "gateway": cable.hardware_address,
        "source": "192.0.2.1",
        "destination": "192.0.2.2",
    }
    words = [word for name, value in ({"port": PORT} | fixed | options).items() for word in (f"--{name}", str(value))]
    result: dict[str, Any] = json.loads(cable.sender.run([build.program("udp_send"), *words]).stdout)
    return result


def end(process: subprocess.Popen[str]) -> dict[str, int]:
    figures: dict[str, int] = json.loads(process.communicate()[0].splitlines()[-1])
    return figures


@pytest.mark.kernel
@pytest.mark.parametrize("payload", [18, 19, 1472])
@pytest.mark.parametrize("flows", [1, 1000])
def test_what_is_sent_is_what_is_counted(cable: Cable, payload: int, flows: int) -> None:
    counting = sink(cable)
    sent = send(cable, payload=payload, flows=flows, **FEW)
    counted = end(counting)
    assert counted["delivered"] == sent["taken"] == sent["offered"] > 0
    assert counted["damaged"] == 0


@pytest.mark.kernel
def test_the_sample_is_looked_at(cable: Cable) -> None:
    counting = sink(cable)
    sent = 0
    while sent < ENOUGH:
        sent += send(cable, rate=100_000, milliseconds=500)["offered"]
    assert 0 < end(counting)["looked_at"] < sent / 100


@pytest.mark.kernel
def test_other_payloads_are_noticed(cable: Cable) -> None:
    counting = sink(cable)
    cable.sender.run(["bash", "-c", f"for i in $(seq {ENOUGH}); do echo -n other > /dev/udp/192.0.2.2/{PORT}; done"])
    assert end(counting)["damaged"] > 0


@pytest.mark.kernel
def test_each_destination_of_many_gets_its_share(cable: Cable) -> None:
    counting = sink(cable)
    sent = send(cable, services=2, flows=4, **FEW)
    assert end(counting)["delivered"] == sent["taken"]


@pytest.mark.kernel
def test_the_figures_so_far_can_be_asked_for(cable: Cable) -> None:
    counting = sink(cable)
    assert counting.stdin is not None
    assert counting.stdout is not None
    counting.stdin.write("\n")
    counting.stdin.flush()
    assert json.loads(counting.stdout.readline())["delivered"] == 0
    end(counting)


@contextmanager
def server(cable: Cable, name: int) -> Iterator[None]:
    process = cable.receiver.call(
        lambda: subprocess.Popen([build.program("server"), "--name", str(name)], stdout=subprocess.PIPE, text=True)
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.mark.kernel
def test_a_probe_waits_for_who_is_wanted_and_gives_up(cable: Cable) -> None:
    def asked(wanted: int, milliseconds: int) -> str:
        words = ["--destination", "192.0.2.2", "--port", "8082", "--timeout", str(milliseconds)]
        return str(cable.sender.run([build.program("udp_probe"), *words], input=f"{wanted}\n").stdout).strip()

    with server(cable, 7):
        assert asked(7, milliseconds=60_000).isdigit()
        assert asked(6, milliseconds=100) == "late"


def start_flows(cable: Cable, **options: int) -> subprocess.Popen[str]:
    given = {"port": 8082, "flows": 8, "rate": 1000, "milliseconds": 200, "patience": 60_000} | options
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    command = [build.program("udp_flows"), "--destination", "192.0.2.2", *words]
    return cable.sender.call(lambda: subprocess.Popen(command, stdout=subprocess.PIPE, text=True))


def ask(cable: Cable, **options: int) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(start_flows(cable, **options).communicate()[0])
    return result


@pytest.mark.kernel
def test_every_request_that_is_answered_is_accounted_for(cable: Cable) -> None:
    with server(cable, 7):
        asked = ask(cable)
    assert asked["sent"] == asked["waited"]["count"] > 0
    assert (asked["lost"], asked["misdelivered"], asked["leaving"]["flows"]) == (0, 0, 0)


@pytest.mark.kernel
def test_requests_that_nobody_answers_are_lost(cable: Cable) -> None:
    cable.receiver.run(["iptables-legacy", "-w", "-A", "INPUT", "-p", "udp", "-j", "DROP"])
    asked = ask(cable, patience=1)
    assert asked["lost"] == asked["sent"] > 0
    assert 0 < asked["last_lost"] < asked["seconds"]


def wait_for_answers(cable: Cable, count: int) -> None:
    """Until the receiver has sent so many more."""
    before = counted_by(cable.receiver, "Udp", "OutDatagrams")
    while counted_by(cable.receiver, "Udp", "OutDatagrams") < before + count:
        pass


@pytest.mark.kernel
@pytest.mark.parametrize("leaving", [0, 7])
def test_a_flow_that_another_backend_answers_is_noticed(cable: Cable, leaving: int) -> None:
    with server(cable, 7):
        asking = start_flows(cable, leaving=leaving, milliseconds=60_000, patience=1)
        wait_for_answers(cable, 20)
    with server(cable, 8):
        wait_for_answers(cable, 20)
        asking.terminate()
        asked = json.loads(asking.communicate()[0])
    moved, others = asked["leaving"]["moved"], asked["misdelivered"]
    assert (moved, others) > (0, 0)
    assert (others if leaving else moved) == 0
    assert asked["leaving"]["flows"] == (8 if leaving else 0)


@pytest.mark.kernel
def test_a_flood_is_of_syns_from_everywhere(cable: Cable) -> None:
    fixed = {"interface": "eth0", "gateway": cable.hardware_address, "destination": "192.0.2.2"}
    words = [word for name, value in fixed.items() for word in (f"--{name}", value)]
    rules = ["iptables-legacy -w -A INPUT -p tcp --syn -s 198.18.0.0/15", "iptables-legacy -w -A INPUT -p tcp"]
    cable.receiver.run(["sh", "-c", "; ".join(f"{rule} -j DROP" for rule in rules)])
    # Without a way back the kernel would drop them before.
    cable.receiver.run(["ip", "route", "add", "198.18.0.0/15", "via", "192.0.2.1"])
    said = cable.sender.run([build.program("syn_flood"), *words, "--rate", "1900", "--milliseconds", "500"]).stdout
    counted = cable.receiver.run(["iptables-legacy", "-w", "-nvxL", "INPUT"]).stdout.splitlines()[2:]
    assert [int(line.split()[0]) for line in counted] == [json.loads(said)["taken"], 0]
    assert json.loads(said)["taken"] == json.loads(said)["offered"] > 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--rate", "many"], "--rate many: expected a number from 0 to 100000000"),
        (["--rate"], "--rate : expected a value"),
        (["--speed", "1"], "--speed: expected an option that it has"),
        ([], "--interface : expected to be given"),
    ],
)
def test_bad_options_are_refused(words: list[str], complaint: str) -> None:
    run = subprocess.run([build.program("udp_send"), *words], capture_output=True, text=True)
    assert run.returncode == 2
    assert complaint in run.stderr
