"""The examples keep their promises: what stands in their heads can be run, and what they claim happens."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from lab.manifests import load
from svcplane.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"
MANIFESTS = sorted(EXAMPLES.glob("*.yaml"))

COMMAND = re.compile(r"^#\s+svcplane (explain .*)$", re.M)


def commands() -> list[str]:
    return [command for manifest in MANIFESTS for command in COMMAND.findall(manifest.read_text())]


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str]) -> Any:
    """Ask about an example (or about any manifest by its path); returns what JSON says."""

    def explain(name: str | Path, who: str, where: str, *more: str) -> dict[str, Any]:
        file = name if isinstance(name, Path) else EXAMPLES / f"{name}.yaml"
        assert main(["explain", "-f", str(file), "--from", who, "--to", where, "--json", *more]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    return explain


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_every_example_says_what_to_try(manifest: Path) -> None:
    assert f"-f examples/{manifest.name} " in "".join(COMMAND.findall(manifest.read_text()))


@pytest.mark.parametrize("command", commands())
def test_every_command_in_an_example_works(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(EXAMPLES.parent)
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out


def test_every_example_is_in_the_list() -> None:
    listed = re.findall(r"`([a-z-]+\.yaml)`", (EXAMPLES / "README.md").read_text())
    assert sorted(listed) == [manifest.name for manifest in MANIFESTS]


def test_all_examples_can_be_in_one_cluster_at_once() -> None:
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for manifest in load([str(EXAMPLES)]):
        said = manifest.object
        assert seen.setdefault((said["kind"], said["metadata"]["name"]), said) == said, manifest.where


def test_the_named_port_of_the_web_service_is_found_in_its_pods(explain: Any) -> None:
    assert {e["address"].rpartition(":")[2] for e in explain("web", "pod/client", "web:80")["endpoints"]} == {"8080"}


def test_a_node_port_hides_the_client_from_the_pod(explain: Any) -> None:
    assert explain("web", "outside", "web-nodeport:30080")["masquerade"]


def test_external_traffic_policy_local_shows_the_client_to_the_pod(explain: Any) -> None:
    assert not explain("external-traffic-policy-local", "outside", "gate:30081")["masquerade"]


def test_external_traffic_policy_local_drops_what_comes_to_a_node_without_pods(explain: Any) -> None:
    assert explain("external-traffic-policy-local", "outside", "gate:30081", "--node", "n2")["outcome"] == "dropped"


def test_external_traffic_policy_local_serves_pods_wherever_they_are(explain: Any) -> None:
    assert explain("external-traffic-policy-local", "pod/client-on-n2", "gate:30081")["outcome"] == "forwarded"


def test_internal_traffic_policy_local_serves_clients_on_the_pods_node_only(explain: Any) -> None:
    asked = [explain("internal-traffic-policy-local", f"pod/client-on-{node}", "logger:80") for node in ("n1", "n2")]
    assert [answer["outcome"] for answer in asked] == ["forwarded", "dropped"]


def test_a_service_that_nobody_serves_refuses_at_once(explain: Any) -> None:
    assert explain("no-endpoints", "pod/client", "empty:80")["outcome"] == "rejected"
    assert explain("no-endpoints", "outside", "empty:30082")["outcome"] == "rejected"


def test_only_the_ready_endpoint_written_by_hand_counts(explain: Any) -> None:
    told = explain("endpoints-by-hand", "pod/client", "legacy:80")["endpoints"]
    assert [e["address"] for e in told if e["counts"]] == ["198.51.100.11:8080"]


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_dual_stack_service_answers_in_the_version_it_is_asked_in(explain: Any, family: str) -> None:
    told = explain("dual-stack", "pod/client", "both:80", "--family", family)
    assert all((":" in told[side]["source"].rpartition(":")[0]) == (family == "ipv6") for side in ("packet", "sent"))


def test_source_ranges_guard_the_load_balancers_address_only(explain: Any, tmp_path: Path) -> None:
    others = tmp_path / "others.yaml"
    others.write_text((EXAMPLES / "source-ranges.yaml").read_text().replace("- 192.0.2.50/32\n", ""))
    assert explain("source-ranges", "outside", "vault:80")["outcome"] == "forwarded"
    assert explain(others, "outside", "vault:80")["outcome"] == "dropped"
    assert explain(others, "pod/client", "vault:80", "--via", "cluster-ip")["outcome"] == "forwarded"
