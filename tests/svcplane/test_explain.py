"""`svcplane explain`, as its users call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from svcplane.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"
WEB = str(EXAMPLES / "web.yaml")


def explain(capsys: pytest.CaptureFixture[str], *arguments: str, manifest: str = WEB) -> Any:
    assert main(["explain", "-f", manifest, "--json", "--seed", "1", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str, manifest: str = WEB) -> str:
    assert main(["explain", "-f", manifest, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_pod_reaches_one_of_three_pods_unmasqueraded(capsys: pytest.CaptureFixture[str]) -> None:
    told = explain(capsys, "--from", "pod/client", "--to", "web:80")
    assert (told["outcome"], told["client"], told["masquerade"]) == ("forwarded", "pod", False)
    assert told["probability"] == pytest.approx(1 / 3)
    assert len(told["endpoints"]) == 3
    assert told["backend"] in [e["address"] for e in told["endpoints"]]
    assert told["sent"]["source"] == told["packet"]["source"]
    assert told["answerDelivered"] == {
        "source": told["packet"]["destination"],
        "destination": told["packet"]["source"],
        "protocol": "TCP",
    }


def test_outside_comes_in_by_the_node_port_and_is_masqueraded(capsys: pytest.CaptureFixture[str]) -> None:
    told = explain(capsys, "--from", "outside", "--to", "web-nodeport:30080")
    assert (told["client"], told["masquerade"]) == ("outside", True)
    assert told["packet"]["destination"] == "192.0.2.1:30080"
    assert told["sent"]["source"].startswith("192.0.2.1:")


def test_the_node_itself_is_masqueraded_to_a_cluster_ip(capsys: pytest.CaptureFixture[str]) -> None:
    told = explain(capsys, "--from", "node/n2", "--to", "web:http")
    assert (told["client"], told["node"], told["masquerade"]) == ("node", "n2", True)


def test_a_pod_that_is_not_ready_does_not_count_and_the_reason_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    before = explain(capsys, "--from", "pod/client", "--to", "web:80")
    name = before["endpoints"][0]["name"].removeprefix("pod/")
    told = explain(capsys, "--from", "pod/client", "--to", "web:80", "--not-ready", name)
    assert [e["whyNot"] for e in told["endpoints"] if e["name"] == f"pod/{name}"] == ["it is not ready"]
    assert told["probability"] == 0.5


def test_a_port_that_the_service_has_not_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(capsys, "--from", "pod/client", "--to", "web:81")["outcome"] == "rejected"


def test_an_address_that_no_service_has_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(capsys, "--from", "pod/client", "--to", "10.100.1.1:80")["outcome"] == "dropped"


def test_an_address_that_is_no_business_of_ours_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(capsys, "--from", "pod/client", "--to", "198.51.100.7:80")["outcome"] == "passed"


@pytest.mark.parametrize("name", ["web.default", "web.default.svc", "web.default.svc.cluster.local"])
def test_a_service_may_be_called_by_its_name_in_dns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    short = explain(capsys, "--from", "pod/client", "--to", "web:80")
    assert explain(capsys, "--from", "pod/client", "--to", f"{name}:80")["packet"] == short["packet"]


def test_addresses_that_are_none_are_not_taken_for_any(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "odd"},
        "status": {"addresses": [{"type": "InternalIP", "address": "80"}]},
    }
    (tmp_path / "node.json").write_text(json.dumps(odd))
    (tmp_path / "web.yaml").write_text(Path(WEB).read_text())
    assert "has no IPv4 address" in refusal(capsys, "--from", "node", "--to", "web:80", manifest=str(tmp_path))


def test_a_service_is_asked_in_its_own_first_family(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "ipv6-first.yaml"
    manifest.write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: six}\n"
        "spec: {ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4], ports: [{port: 80}]}\n"
    )
    told = explain(capsys, "--from", "node", "--to", "six:80", manifest=str(manifest))
    assert told["packet"]["destination"].startswith("[fd00:10:96::")


def test_the_same_seed_tells_the_same_story(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--from", "pod/client", "--to", "web:80")
    assert explain(capsys, *arguments) == explain(capsys, *arguments)


def test_the_text_names_the_question_the_pick_and_the_way_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-f", WEB, "--from", "pod/client", "--to", "web:80"]) == 0
    text = capsys.readouterr().out
    for phrase in ("Who is asking?", "by chance: 1 in 3", "there:", "back:", "3 of 3 count"):
        assert phrase in text


def test_an_endpoint_without_pod_or_node_has_its_reason_alone(capsys: pytest.CaptureFixture[str]) -> None:
    by_hand = str(EXAMPLES / "endpoints-by-hand.yaml")
    assert main(["explain", "-f", by_hand, "--from", "pod/client", "--to", "legacy:80"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  - 198.51.100.13:8080  no, it is not ready" in lines
    assert lines == [line.rstrip() for line in lines]


@pytest.mark.parametrize("manifest", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_a_cluster(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explain(capsys, "--from", "outside", "--to", "198.51.100.7:80", manifest=str(manifest))
    assert told["outcome"] == "passed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "pod/nobody", "--to", "web:80"), "there is no pod nobody"),
        (("--from", "someone", "--to", "web:80"), "'someone' is nobody"),
        (("--from", "node/n9", "--to", "web:80"), "there is no node n9"),
        (("--from", "node", "--to", "web"), "is no destination"),
        (("--from", "node", "--to", "db:80"), "there is no service db"),
        (("--from", "node", "--to", "web.default.pod:80"), "'web.default.pod' names no service"),
        (("--from", "node", "--to", ".default:80"), "'.default' names no service"),
        (("--from", "node", "--to", "web:80", "--service-cidr", "10.0.0.0/8,10.0.0.0/9"), "--service-cidr"),
        (("--from", "node", "--to", "web:https"), "has no port https"),
        (("--from", "node", "--to", "web-headless:80"), "is headless"),
        (("--from", "node", "--to", "web:80", "--via", "node-port"), "has no NodePort"),
        (("--from", "node", "--to", "web:80", "--family", "ipv6"), "has no IPv6 address"),
        (("--from", "node", "--to", "web:80", "--not-ready", "nobody"), "there is no pod nobody"),
        (
            ("--from", "node", "--to", "web:80", "--cluster-cidr", "10.0.0.0"),
            "--cluster-cidr: '10.0.0.0' is no network",
        ),
        (("--from", "node", "--to", "web:80", "--nodes", "99"), "nodes 99"),
    ],
)
def test_a_question_that_can_not_be_asked_is_one_clear_line(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refusal(capsys, *arguments)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("kind: Service\n", "kind: Servise\n"), "kind 'Servise'"),
        (("nodePort: 30080", "nodePort: 80"), "provided port is not in the valid range"),
        (("port: 80\n", "prt: 80\n"), "prt"),
        (("replicas: 3", "replicas: many"), "replicas"),
    ],
)
def test_a_wrong_manifest_is_one_line_with_its_place(
    change: tuple[str, str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(Path(WEB).read_text().replace(*change))
    said = refusal(capsys, "--from", "node", "--to", "web:80", manifest=str(wrong))
    assert words in said
    assert "wrong.yaml, document" in said


def test_the_widest_of_networks_has_addresses_too(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--from", "node", "--to", "web:80", "--service-cidr", "10.96.0.0/12,::/0")
    assert explain(capsys, *asked)
