"""`svcplane replay`, as its users call it."""

from __future__ import annotations

import errno
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import PcapReader, rdpcap, wrpcap

from svcplane.main import main

WEB = str(Path(__file__).parents[2] / "examples" / "web.yaml")


@pytest.fixture
def service(capsys: pytest.CaptureFixture[str]) -> str:
    """The address of the Service "web"."""
    assert main(["explain", "-f", WEB, "--json", "--from", "pod/client", "--to", "web:80"]) == 0
    address: str = json.loads(capsys.readouterr().out)["packet"]["destination"]
    return address.partition(":")[0]


def replay(capsys: pytest.CaptureFixture[str], capture: Path, *arguments: str) -> list[dict[str, Any]]:
    assert main(["replay", str(capture), "-f", WEB, "--json", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def recorded(path: Path, *packets: Packet, every: float = 0.1) -> Path:
    for number, packet in enumerate(packets):
        packet.time = 1_700_000_000 + number * every
    wrpcap(str(path), list(packets))
    return path


def syn(service: str, source: str = "10.244.1.2", port: int = 40000) -> Packet:
    return IP(src=source, dst=service) / TCP(sport=port, dport=80, flags="S")


def test_a_connection_is_followed_in_both_directions(
    capsys: pytest.CaptureFixture[str], service: str, tmp_path: Path
) -> None:
    first = recorded(tmp_path / "first.pcap", syn(service))
    (sent,) = replay(capsys, first)
    address, _, port = sent["backend"].partition(":")
    answer = IP(src=address, dst="10.244.1.2") / TCP(sport=int(port), dport=40000, flags="SA")
    both = recorded(tmp_path / "both.pcap", syn(service), answer)
    out = tmp_path / "out.pcap"
    told = replay(capsys, both, "-w", str(out))
    assert [t["outcome"] for t in told] == ["forwarded", "forwarded"]
    assert (told[0]["newConnection"], told[1]["answer"]) == (True, True)
    there, back = rdpcap(str(out))
    assert (there.dst, there.dport) == (address, int(port))
    assert (back.src, back.sport) == (service, 80)
    assert float(back.time - there.time) == pytest.approx(0.1)


def test_the_same_seed_gives_the_same_and_another_another(
    capsys: pytest.CaptureFixture[str], service: str, tmp_path: Path
) -> None:
    capture = recorded(tmp_path / "in.pcap", *(syn(service, port=port) for port in range(40000, 40020)))
    runs = [replay(capsys, capture, "--seed", seed) for seed in ("1", "1", "2")]
    assert runs[0] == runs[1] != runs[2]


def test_the_reasons_are_told_in_the_words_of_explain(
    capsys: pytest.CaptureFixture[str], service: str, tmp_path: Path
) -> None:
    (told,) = replay(capsys, recorded(tmp_path / "in.pcap", syn(service)))
    assert main(["explain", "-f", WEB, "--json", "--from", "pod/client", "--to", "web:80"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert [s["question"] for s in told["steps"]] == [s["question"] for s in explained["steps"]]
    assert told["steps"][:-2] == explained["steps"][:-2]


def test_a_packet_in_the_middle_of_nothing_is_dropped_and_nothing_is_said_of_a_pick(
    capsys: pytest.CaptureFixture[str], service: str, tmp_path: Path
) -> None:
    late = IP(src="10.244.1.2", dst=service) / TCP(sport=40000, dport=80, flags="A")
    (told,) = replay(capsys, recorded(tmp_path / "in.pcap", late))
    assert told["outcome"] == "dropped"
    assert "does not begin one" in told["steps"][-1]["answer"]
    assert "Which backend?" not in [s["question"] for s in told["steps"]]


def test_who_is_rejected_gets_an_answer_in_the_output(
    capsys: pytest.CaptureFixture[str], service: str, tmp_path: Path
) -> None:
    wrong = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.244.1.2", dst=service) / UDP(dport=9)
    out = tmp_path / "out.pcap"
    (told,) = replay(capsys, recorded(tmp_path / "in.pcap", wrong), "-w", str(out))
    (answer,) = rdpcap(str(out))
    assert told["senderTold"]
    assert (answer[Ether].dst, answer[IP].dst, answer[ICMP].code) == ("02:00:00:00:00:01", "10.244.1.2", 3)


def test_what_is_none_of_our_business_comes_out_as_it_went_in(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    packet = IP(src="10.244.1.2", dst="10.244.2.9") / UDP(dport=9) / b"x"
    out = tmp_path / "out.pcap"
    told = replay(capsys, recorded(tmp_path / "in.pcap", packet), "-w", str(out))
    assert [t["outcome"] for t in told] == ["passed"]
    with PcapReader(str(out)) as reader:
        assert bytes(next(iter(reader))) == bytes(packet)


def test_the_lines_read_well(capsys: pytest.CaptureFixture[str], service: str, tmp_path: Path) -> None:
    assert main(["replay", str(recorded(tmp_path / "in.pcap", syn(service))), "-f", WEB, "--why"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        f"    1    0.000000 TCP 10.244.1.2:40000 → {service}:80: forwarded, as 10.244.1.2:40000 → "
    )
    assert lines[1].strip().startswith("Is its destination served here? Yes, by default/web:http.")


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"", "expected a pcap file, found something else"),
        (bytes.fromhex("0a0d0d0a") + bytes(40), "found a pcapng file"),
        (bytes.fromhex("d4c3b2a1020004000000000000000000ffff000071000000"), "found link type 113"),
        (bytes.fromhex("d4c3b2a1020004000000000000000000ffff000014010000"), "capture on one interface, not on `any`"),
        (bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000") + bytes(8), "packet 1: the file ends"),
        (
            bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000") + bytes(8) + b"\xff" * 8,
            "packet 1: expected at most 262144 bytes",
        ),
        (
            bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000") + bytes(4) + b"\x40\x42\x0f\0" + bytes(8),
            "packet 1: expected a time within its second, found 1000000000 ns",
        ),
    ],
)
def test_a_file_that_is_no_capture_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, contents: bytes, words: str
) -> None:
    path = tmp_path / "in.pcap"
    path.write_bytes(contents)
    assert main(["replay", str(path), "-f", WEB]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1


def test_a_file_that_is_not_there_is_refused_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["replay", str(tmp_path / "none.pcap"), "-f", WEB]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_said(
    capsys: pytest.CaptureFixture[str], service: str, tmp_path: Path
) -> None:
    capture = recorded(tmp_path / "in.pcap", syn(service))
    assert main(["replay", str(capture), "-f", WEB, "-w", str(tmp_path / "none" / "out.pcap")]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert "No such file" in captured.err


def test_what_goes_wrong_on_the_way_leaves_the_output_as_it_was(
    capsys: pytest.CaptureFixture[str], service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    capture, out = recorded(tmp_path / "in.pcap", syn(service)), tmp_path / "out.pcap"
    out.write_bytes(b"before")
    monkeypatch.setattr("svcplane.replay.write", fail)
    assert main(["replay", str(capture), "-f", WEB, "-w", str(out)]) == 2
    assert f"{out}: No space left on device" in capsys.readouterr().err
    assert out.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pcap", "out.pcap"]


def test_the_checksum_of_the_link_behind_each_packet_is_left_out(
    capsys: pytest.CaptureFixture[str], service: str, tmp_path: Path
) -> None:
    """Four bytes, as the file's header says in the upper half of the link type."""
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / syn(service))
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 0x2400_0001)
    whole = struct.pack("<IIII", 0, 0, len(frame) + 4, len(frame) + 4) + frame + b"\xde\xad\xbe\xef"
    cut = struct.pack("<IIII", 1, 0, len(frame), len(frame) + 4) + frame
    (tmp_path / "in.pcap").write_bytes(header + whole + cut)
    out = tmp_path / "out.pcap"
    told = replay(capsys, tmp_path / "in.pcap", "-w", str(out))
    assert [one["outcome"] for one in told] == ["forwarded", "forwarded"]
    assert [len(packet) for packet in rdpcap(str(out))] == [len(frame)] * 2


def with_pick(folder: Path, pick: str) -> str:
    """The manifests, whose Service "web" asks to be picked from in this way."""
    name = "kind: Service\nmetadata:\n  name: web\n"
    text = Path(WEB).read_text()
    assert name in text
    path = folder / f"{pick}.yaml"
    path.write_text(text.replace(name, f"{name}  annotations: {{svcplane.dev/pick: {pick}}}\n", 1))
    return str(path)


def test_turns_go_round_whatever_comes_in_between(
    capsys: pytest.CaptureFixture[str], service: str, tmp_path: Path
) -> None:
    other = IP(src="203.0.113.9", dst="203.0.113.10") / UDP()
    packets = (syn(service, port=1000), other, syn(service, port=1001), other, syn(service, port=1002))
    capture = recorded(tmp_path / "in.pcap", *packets)
    assert main(["replay", str(capture), "-f", with_pick(tmp_path, "round-robin"), "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len({one["backend"] for one in told if one["newConnection"]}) == 3


def test_an_annotation_that_does_not_count_is_told_of(
    capsys: pytest.CaptureFixture[str], service: str, tmp_path: Path
) -> None:
    capture = recorded(tmp_path / "in.pcap", syn(service))
    assert main(["replay", str(capture), "-f", with_pick(tmp_path, "best")]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("svcplane replay: service default/web: svcplane.dev/pick: expected one of")
