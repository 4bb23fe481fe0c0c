"""What is wrong on a command line is said in one line, and the exit code is 2, whatever the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from svcplane.main import main

WEB = str(Path(__file__).parents[2] / "examples" / "web.yaml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "svcplane: the following arguments are required: COMMAND"),
        (("dance",), "svcplane: argument COMMAND: invalid choice: 'dance'"),
        (("replay",), "svcplane replay: the following arguments are required: PCAP"),
        (("replay", "x.pcap", "-f", WEB, "--nodes", "-1"), "--nodes: expected a number from 0 on, found '-1'"),
        (("top", "--interval", "nan"), "--interval: expected seconds, more than 0 and at most 86400, found 'nan'"),
        (("top", "--interval", "0"), "--interval: expected seconds, more than 0"),
        (("top", "--interval", "soon"), "--interval: expected seconds, more than 0"),
        (("top", "--count", "-1"), "--count: expected a number from 0 on, found '-1'"),
        (("flows", "what\never"), "unrecognized arguments: what ever"),
        (("explain", "--fly"), "svcplane explain: "),
        (("agent", "--proxy-mode"), "svcplane agent: "),
        (("lab", "fly"), "svcplane lab: argument COMMAND: invalid choice: 'fly'"),
        (("lab", "up", "--nodes", "many"), "svcplane lab up: argument --nodes: "),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert words in captured.err


@pytest.mark.parametrize(("to", "family"), [("10.96.0.10:80", "ipv6"), ("[fd00::1]:80", "ipv4")])
def test_an_address_of_the_other_family_than_asked_for_is_refused(
    capsys: pytest.CaptureFixture[str], to: str, family: str
) -> None:
    assert main(["explain", "-f", WEB, "--from", "pod/client", "--to", to, "--family", family]) == 2
    assert "--family: " in capsys.readouterr().err


def test_what_there_is_no_room_for_is_one_line_too() -> None:
    words = ("-m", "svcplane.main", "explain", "-f", WEB, "--from", "pod/client", "--to", "web:80")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "svcplane explain: cannot write: No space left on device\n")
