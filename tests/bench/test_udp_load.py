"""The UDP sender and the sink: what was sent is what is counted, and it is as asked for."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from bench.load import build
from cable import Cable

PORT = 8080


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
    sent = send(cable, payload=payload, flows=flows, rate=20_000, milliseconds=300)
    counted = end(counting)
    assert counted["delivered"] == sent["taken"] == sent["offered"] > 0
    assert counted["damaged"] == 0


@pytest.mark.kernel
def test_the_sample_is_looked_at(cable: Cable) -> None:
    counting = sink(cable)
    sent = send(cable, rate=100_000, milliseconds=500)
    assert sent["offered"] > 20_000  # so that no packet at all in the sample is less likely than one in 10^8
    assert 0 < end(counting)["looked_at"] < sent["offered"] / 100


@pytest.mark.kernel
def test_other_payloads_are_noticed(cable: Cable) -> None:
    counting = sink(cable)
    cable.sender.run(["bash", "-c", f"for i in $(seq 20000); do echo -n other > /dev/udp/192.0.2.2/{PORT}; done"])
    assert end(counting)["damaged"] > 0


@pytest.mark.kernel
def test_each_destination_of_many_gets_its_share(cable: Cable) -> None:
    counting = sink(cable)
    sent = send(cable, services=2, flows=4, rate=10_000, milliseconds=300)
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


@pytest.mark.kernel
def test_a_probe_waits_for_who_is_wanted_and_gives_up(cable: Cable) -> None:
    server = cable.receiver.call(
        lambda: subprocess.Popen([build.program("server"), "--name", "7"], stdout=subprocess.PIPE, text=True)
    )
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    words = ["--destination", "192.0.2.2", "--port", "8082", "--timeout", "1000"]
    said = cable.sender.run([build.program("udp_probe"), *words], input="7\n6\n").stdout.split()
    server.terminate()
    server.wait()
    assert said[0].isdigit()
    assert said[1:] == ["late"]


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
