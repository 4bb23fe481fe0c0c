"""The manifests: they let the agent do what it does, and nothing else."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.configuration.decode import decode
from controller.configuration.fields import without_effect
from lab.api.http.faults import Faults
from lab.api.http.routing import Target
from lab.api.registry import DEPLOYMENTS
from lab.api.store import Store
from svcplane import agent
from whole_agent import NODE, SERVICE, SLICE, Scene, endpoints, node, service, with_agent

_FLOWS = "/run/svcplane-userspace"  # where mode userspace keeps them

DEPLOY = Path(__file__).parents[2] / "deploy"
BASE = DEPLOY / "base"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((BASE / name).read_text()))


def pod_spec() -> dict[str, Any]:
    [daemon_set] = documents("daemonset.yaml")
    spec: dict[str, Any] = daemon_set["spec"]["template"]["spec"]
    return spec


def rules() -> set[tuple[str, str, str]]:
    """(API group, resource, verb)."""
    [role] = [d for d in documents("rbac.yaml") if d["kind"] == "ClusterRole"]
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_role_allows_what_the_agent_asks_for_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[tuple[str, str, str]] = set()
    strike = Faults.strike

    async def record(self: Faults, target: Target, verb: str) -> bytes | None:
        asked.add((target.resource.group, target.resource.plural, verb))
        return await strike(self, target, verb)

    monkeypatch.setattr(Faults, "strike", record)

    async def act(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.dataplane.tables))
        for _ in range(2):  # the second time the same news is patched into a series
            scene.agent.events.tell_of_node("Warning", "FailedToSync", "Sync", "the kernel refused")
        await scene.until(lambda: asked >= rules())

    with_agent(act, (NODE, node()), (SERVICE, service()), (SLICE, endpoints("10.244.1.5")))
    assert asked == rules()


class TestTheDaemonSet:
    def test_has_arguments_that_the_agent_takes(self) -> None:
        spec = pod_spec()
        parser = argparse.ArgumentParser()
        agent.add_arguments(parser)
        for container in (*spec["containers"], *spec["initContainers"]):
            command, *flags = container["args"]
            assert command == "agent"
            given = parser.parse_args(flags)
            folder = container["volumeMounts"][0]["mountPath"]
            assert given.config == f"{folder}/config.conf"
            assert hasattr(given, "init_only") == (container["name"] == "init")

    def test_runs_with_two_capabilities(self) -> None:
        [container] = pod_spec()["containers"]
        security = container["securityContext"]
        assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
        assert (security["privileged"], security["allowPrivilegeEscalation"]) == (False, False)

    def test_writes_to_no_file_system(self) -> None:
        """But for the lock of all iptables programs, and flows that are to outlive the pod."""
        spec = pod_spec()
        for container in (*spec["containers"], *spec["initContainers"]):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            written = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
            assert written in ([], ["/run/xtables.lock", _FLOWS])

    def test_is_on_every_node_and_reaches_it_without_services(self) -> None:
        spec = pod_spec()
        assert spec["hostNetwork"] is True
        assert spec["tolerations"] == [{"operator": "Exists"}]

    def test_is_restarted_only_where_that_helps(self) -> None:
        [container] = pod_spec()["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"
        [port] = container["ports"]
        assert (port["name"], port["containerPort"]) == ("healthz", 10256)

    def test_has_pods_that_the_api_server_takes(self) -> None:
        """By the schema of the same pods in a Deployment; unknown fields are refused."""
        [daemon_set] = documents("daemonset.yaml")
        spec = {key: daemon_set["spec"][key] for key in ("selector", "template")}
        store = Store()
        made = store.create(DEPLOYMENTS, {"metadata": {"name": "agent", "namespace": "default"}, "spec": spec})
        kept = made["spec"]["template"]["spec"]
        assert json.loads(json.dumps(spec["template"]["spec"])).keys() <= kept.keys()


def test_the_configuration_is_used_whole() -> None:
    configuration, left_out = decode((BASE / "config.conf").read_text())
    assert left_out == []
    assert without_effect(configuration) == []
    mount = pod_spec()["containers"][0]["volumeMounts"][0]
    assert configuration.client_connection.kubeconfig == f"{mount['mountPath']}/kubeconfig.conf"


def test_the_api_server_is_not_asked_through_a_service() -> None:
    kubeconfig = yaml.safe_load((BASE / "kubeconfig.conf").read_text())
    server = kubeconfig["clusters"][0]["cluster"]["server"]
    assert re.fullmatch(r"https://CONTROL-PLANE:6443", server)  # who forgets to edit it is told: no such host


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    """By kind: what kubectl makes of base and overlay."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("needs kubectl")
    command = [kubectl, "kustomize", str(DEPLOY / "userspace")]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


class TestTheDaemonSetOfModeUserspace:
    def test_is_configured_for_it_and_keeps_the_rest(self, made: dict[str, dict[str, Any]]) -> None:
        data = made["ConfigMap"]["data"]
        base = yaml.safe_load((BASE / "config.conf").read_text())
        assert yaml.safe_load(data["config.conf"]) == base | {"mode": "userspace"}
        assert data["kubeconfig.conf"] == (BASE / "kubeconfig.conf").read_text()
        configuration, left_out = decode(data["config.conf"])
        assert (configuration.mode, left_out) == ("userspace", [])

    def test_keeps_flows_on_the_node(self, made: dict[str, dict[str, Any]]) -> None:
        spec = made["DaemonSet"]["spec"]["template"]["spec"]
        [volume] = [v for v in spec["volumes"] if v.get("hostPath", {}).get("path") == _FLOWS]
        [mount] = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
        assert mount == {"name": volume["name"], "mountPath": _FLOWS}

    def test_has_pods_that_the_api_server_takes(self, made: dict[str, dict[str, Any]]) -> None:
        spec = {key: made["DaemonSet"]["spec"][key] for key in ("selector", "template")}
        Store().create(DEPLOYMENTS, {"metadata": {"name": "agent", "namespace": "default"}, "spec": spec})


@pytest.mark.parametrize("folder", ["base", "kubeadm", "userspace"])
def test_every_file_that_a_kustomization_names_is_there(folder: str) -> None:
    where = DEPLOY / folder
    kustomization = yaml.safe_load((where / "kustomization.yaml").read_text())
    generated = [file for each in kustomization.get("configMapGenerator", ()) for file in each["files"]]
    for name in (*kustomization["resources"], *generated):
        assert (where / name).exists()


def test_the_image_holds_every_package() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    copied = set(re.findall(r"^COPY (\w+) \1$", text, re.MULTILINE))
    assert copied == {"native", "dataplane", "controller", "lab", "svcplane"}


class TestTheDashboard:
    def test_asks_only_for_metrics_that_there_are(self) -> None:
        dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
        queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        wanted = {name for query in queries for name in re.findall(r"\b(?:kubeproxy|svcplane|rest_client)_\w+", query)}
        found: set[str] = set()

        async def act(scene: Scene) -> None:
            await scene.until(lambda: bool(scene.dataplane.tables))
            for family in scene.agent.metrics.registry.collect():
                found.update(sample.name for sample in family.samples)

        with_agent(act, (NODE, node()), (SERVICE, service()))
        assert wanted
        assert wanted <= found
