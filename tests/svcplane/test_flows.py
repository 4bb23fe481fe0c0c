"""`svcplane flows` and `svcplane top` ask an engine that carries packets, at its socket."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.reference import Packet
from dataplane.table import Endpoint, Protocol
from dataplane.userspace.answering import Answering, ask
from dataplane.userspace.engine import Engine
from dataplane.userspace.port import memory_port
from patience import PATIENCE
from small_node import HOST, LIMITS, small_table
from svcplane import flows, top
from svcplane.main import main
from wire import written

CLIENT = Endpoint("10.244.1.10", 40000)
WEB, DNS = Endpoint("10.96.0.10", 80), Endpoint("10.96.0.10", 53)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where an agent answers, whose engine has forwarded one packet to each of two Services."""
    for command in (flows, top):
        monkeypatch.setattr(command, "default_folder", lambda: tmp_path)
    with Engine(HOST, limits=LIMITS, seed=7) as engine:
        engine.apply(small_table())
        port, far = memory_port()
        far.settimeout(PATIENCE)
        engine.start([port])
        answering = Answering(engine, tmp_path)
        for destination, protocol in ((WEB, Protocol.TCP), (DNS, Protocol.UDP)):
            far.send(written(Packet(CLIENT, destination, protocol)))
            far.recv(65600)
        yield tmp_path
        answering.close()
        far.close()


def shown(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, object]]:
    assert main([*argv, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("folder")
def test_flows_tell_who_is_connected_to_whom_through_what(capsys: pytest.CaptureFixture[str]) -> None:
    found = {flow["service"]: flow for flow in shown(capsys, "flows")}
    assert set(found) == {"default/web:http", "default/dns:dns"}
    web = found["default/web:http"]
    assert (web["client"], web["destination"], web["protocol"]) == (str(CLIENT), str(WEB), "TCP")
    assert (web["packetsIn"], web["packetsOut"]) == (1, 0)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("flags", "services"),
    [
        (("--service=dns",), {"default/dns:dns"}),
        (("--client=10.244.1.",), {"default/web:http", "default/dns:dns"}),
        (("--client=10.244.3.",), set()),
        (("--backend=10.96.",), set()),
    ],
)
def test_flows_can_be_chosen(capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], services: set[str]) -> None:
    assert {flow["service"] for flow in shown(capsys, "flows", *flags)} == services


@pytest.mark.usefixtures("folder")
def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flows", "--service=web"]) == 0
    titles, line = capsys.readouterr().out.splitlines()
    assert titles.split()[:4] == ["SERVICE", "PROTOCOL", "CLIENT", "DESTINATION"]
    assert re.split(r" {2,}", line)[:4] == ["default/web:http", "TCP", str(CLIENT), str(WEB)]
    assert titles.index("CLIENT") == line.index(str(CLIENT))


@pytest.mark.usefixtures("folder")
def test_top_shows_each_backend_and_nothing_where_nothing_flows(capsys: pytest.CaptureFixture[str]) -> None:
    rates = shown(capsys, "top", "--count=1", "--interval=0.1", "--service=dns")
    assert {rate["service"] for rate in rates} == {"default/dns:dns"}
    assert sum(int(str(rate["active"])) for rate in rates) == 1
    assert all(rate["packetsIn"] == 0 for rate in rates)


def test_rates_are_per_second_and_begin_anew_with_the_counters() -> None:
    line = {"service": "default/web:http", "backend": "10.0.0.1:80", "active": 1}
    sums = dict.fromkeys(("connections", "packetsIn", "packetsOut", "bytesIn", "bytesOut"), 10)
    later = {**line, **dict.fromkeys(sums, 40)}
    assert top._rate({**line, **sums}, later, 2.0)["packetsIn"] == 15
    assert top._rate(later, {**line, **sums}, 2.0)["packetsIn"] == 5
    assert top._rate(None, {**line, **sums}, 2.0)["packetsIn"] == 5


def test_who_asks_something_else_is_told_so(folder: Path) -> None:
    assert list(ask(folder, "weather")) == [{"error": "'weather' is neither flows nor traffic"}]


@pytest.mark.parametrize("command", [("flows",), ("top", "--count=1")])
def test_where_no_agent_runs_that_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
) -> None:
    for module in (flows, top):
        monkeypatch.setattr(module, "default_folder", lambda: tmp_path / "nobody")
    assert main(list(command)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no agent answers at" in line
    assert "--proxy-mode=userspace" in line


def test_a_question_that_is_no_text_is_answered_too_and_the_next_one_as_well(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.connect(str(folder / "socket"))
        asking.sendall(b"\xff\xfe\n")
        assert b"neither flows nor traffic" in asking.recv(1000)
    assert len(list(ask(folder, "flows"))) == 2
