"""Real kubectl against the server. The environment variable KUBECTL may name another binary."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.api.registry import PODS
from served_store import Served

KUBECTL = shutil.which(os.environ.get("KUBECTL", "kubectl"))
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="needs kubectl (or KUBECTL to name it)")

Run = Callable[..., subprocess.CompletedProcess[str]]

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.25
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 1}
        resources: {requests: {cpu: 100m, memory: 64Mi}}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: http, nodePort: 30080}
  - {name: dns, port: 53, protocol: UDP}
"""
ENDPOINT_SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.244.1.5], conditions: {ready: true}}]
ports: [{name: http, port: 8080, protocol: TCP}]
"""
SHOP = "---\n".join((NAMESPACE, DEPLOYMENT, SERVICE, ENDPOINT_SLICE))


@pytest.fixture
def kubectl(served: Served, tmp_path: Path) -> Run:
    """Run kubectl; `stdin` is what it reads, `fails` says that it must fail."""

    def run(
        *arguments: str, stdin: str = "", fails: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        assert KUBECTL
        command = [KUBECTL, "--server", served.url, "--cache-dir", str(tmp_path), *arguments]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
        )
        assert (done.returncode != 0) is fails, done.stderr
        return done

    return run


@pytest.fixture
def shop(kubectl: Run) -> Run:
    """The manifests above, applied."""
    kubectl("apply", "-f", "-", stdin=SHOP)
    return kubectl


def service(**spec: Any) -> str:
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bad"}, "spec": spec}
    return json.dumps(obj)


def test_applying_twice_changes_nothing(kubectl: Run) -> None:
    first = kubectl("apply", "-f", "-", stdin=SHOP).stdout.split("\n")
    assert first[:4] == [
        "namespace/shop created",
        "deployment.apps/web created",
        "service/web created",
        "endpointslice.discovery.k8s.io/web-x created",
    ]
    second = kubectl("apply", "-f", "-", stdin=SHOP).stdout
    assert second == "\n".join(first).replace("created", "unchanged")


def test_a_changed_manifest_is_configured(shop: Run) -> None:
    assert (
        shop("apply", "-f", "-", stdin=DEPLOYMENT.replace("1.25", "1.26")).stdout == "deployment.apps/web configured\n"
    )
    image = "{.spec.template.spec.containers[0].image}"
    assert shop("get", "deploy", "web", "-n", "shop", "-o", f"jsonpath={image}").stdout == "nginx:1.26"


def test_what_a_manifest_no_longer_has_goes(shop: Run) -> None:
    without = "\n".join(line for line in SERVICE.splitlines() if "name: dns" not in line)
    shop("apply", "-f", "-", stdin=without)
    assert shop("get", "svc", "web", "-n", "shop", "-o", "jsonpath={.spec.ports[*].port}").stdout == "80"


def test_get_prints_a_table(shop: Run) -> None:
    lines = shop("get", "svc", "-n", "shop", "-o", "wide").stdout.splitlines()
    assert lines[0].split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"]
    assert lines[1].split()[:2] == ["web", "NodePort"]
    assert lines[1].split()[4].startswith("80:30080/TCP,53:")
    lines = shop("get", "endpointslices", "-A").stdout.splitlines()
    assert lines[2].split()[:5] == ["shop", "web-x", "IPv4", "8080", "10.244.1.5"]


def test_get_all_lists_what_belongs_to_an_application(shop: Run) -> None:
    names = {line.split()[0] for line in shop("get", "all", "-n", "shop", "--no-headers").stdout.splitlines() if line}
    assert names == {"service/web", "deployment.apps/web"}


def test_yaml_comes_back_as_it_was_meant(shop: Run) -> None:
    text = shop("get", "svc", "web", "-n", "shop", "-o", "yaml").stdout
    for line in ("  - name: http", "    nodePort: 30080", "    targetPort: http", "  ipFamilyPolicy: SingleStack"):
        assert line in text.splitlines()


def test_watching_prints_what_happens(served: Served, shop: Run, tmp_path: Path) -> None:
    assert KUBECTL
    command = [KUBECTL, "--server", served.url, "--cache-dir", str(tmp_path), "get", "svc", "-n", "shop", "-w"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout
            assert watching.stdout.readline().startswith("NAME")
            assert watching.stdout.readline().startswith("web ")
            shop("create", "-f", "-", "-n", "shop", stdin=service(ports=[{"port": 80}]))
            assert watching.stdout.readline().startswith("bad ")
            shop("patch", "svc", "bad", "-n", "shop", "-p", '{"spec": {"type": "NodePort"}}')
            assert watching.stdout.readline().split()[:2] == ["bad", "NodePort"]
        finally:
            watching.kill()


def test_describe_finds_everything_it_asks_for(shop: Run) -> None:
    text = shop("describe", "svc", "web", "-n", "shop").stdout
    assert "NodePort:                 http  30080/TCP" in text
    assert "Events:" in text


def test_scale_and_label_and_patch_and_edit(shop: Run) -> None:
    shop("scale", "deploy", "web", "-n", "shop", "--replicas=5")
    assert shop("get", "deploy", "web", "-n", "shop", "-o", "jsonpath={.spec.replicas}").stdout == "5"
    shop("label", "svc", "web", "-n", "shop", "color=red")
    assert shop("get", "svc", "-n", "shop", "-l", "color=red", "-o", "name").stdout == "service/web\n"
    shop("patch", "svc", "web", "-n", "shop", "-p", '{"spec": {"sessionAffinity": "ClientIP"}}')
    shop("edit", "svc", "web", "-n", "shop", EDITOR="sed -i s/10800/60/")
    seconds = "{.spec.sessionAffinityConfig.clientIP.timeoutSeconds}"
    assert shop("get", "svc", "web", "-n", "shop", "-o", f"jsonpath={seconds}").stdout == "60"


def test_run_expose_and_delete(kubectl: Run, served: Served) -> None:
    kubectl("run", "p1", "--image=nginx", "--port=8080")
    kubectl("expose", "pod", "p1", "--port=80")
    assert kubectl("get", "svc", "p1", "-o", "jsonpath={.spec.selector.run}").stdout == "p1"
    assert kubectl("logs", "p1").stdout == "I am p1\n"
    kubectl("delete", "pod/p1", "svc/p1")
    assert served.call(lambda: served.store.list(PODS)[0]) == []


def test_objects_can_be_created_without_a_manifest(kubectl: Run) -> None:
    kubectl("create", "namespace", "shop")
    kubectl("create", "deployment", "web", "--image=nginx:1.25", "--replicas=2", "--port=8080", "-n", "shop")
    kubectl("create", "service", "nodeport", "web", "--tcp=80:8080", "--node-port=30081", "-n", "shop")
    kubectl("create", "configmap", "settings", "--from-literal=a=b", "-n", "shop")
    assert kubectl("get", "deploy", "web", "-n", "shop", "-o", "jsonpath={.spec.replicas}").stdout == "2"
    ports = "jsonpath={.spec.ports[0].targetPort} {.spec.ports[0].nodePort}"
    assert kubectl("get", "svc", "web", "-n", "shop", "-o", ports).stdout == "8080 30081"
    assert kubectl("get", "cm", "settings", "-n", "shop", "-o", "jsonpath={.data.a}").stdout == "b"


def test_a_manifest_that_begins_with_its_namespace_can_be_deleted(shop: Run) -> None:
    gone = shop("delete", "-f", "-", stdin=SHOP).stdout
    assert gone.count("deleted") == 4
    assert shop("get", "ns", "shop", fails=True).stderr == 'Error from server (NotFound): namespaces "shop" not found\n'


def test_server_side_apply_works(kubectl: Run) -> None:
    assert "service/web serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=SHOP).stdout
    kubectl("apply", "--server-side", "-f", "-", stdin=SHOP)


def test_a_server_side_dry_run_stores_nothing(kubectl: Run) -> None:
    out = kubectl("apply", "--dry-run=server", "-f", "-", stdin=service(ports=[{"port": 80}])).stdout
    assert out == "service/bad created (server dry run)\n"
    kubectl("get", "svc", "bad", fails=True)


def test_explain_knows_the_fields(kubectl: Run) -> None:
    assert "sessionAffinityConfig" in kubectl("explain", "service.spec").stdout


class TestErrors:
    def stderr(self, kubectl: Run, manifest: str) -> str:
        return kubectl("apply", "-f", "-", stdin=manifest, fails=True).stderr

    def test_a_wrong_field(self, kubectl: Run) -> None:
        message = self.stderr(kubectl, service(ports=[{"port": 80, "portz": 1}]))
        assert 'unknown field "' in message
        assert "portz" in message

    def test_a_wrong_type(self, kubectl: Run) -> None:
        message = self.stderr(kubectl, service(ports=[{"port": "80"}]))
        assert "ports[0].port" in message
        assert "string" in message

    def test_an_unknown_kind(self, kubectl: Run) -> None:
        message = self.stderr(kubectl, "apiVersion: v1\nkind: Widget\nmetadata: {name: w}\n")
        assert 'no matches for kind "Widget" in version "v1"' in message

    def test_a_node_port_that_is_taken(self, shop: Run) -> None:
        assert self.stderr(shop, service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])) == (
            'The Service "bad" is invalid: spec.ports[0].nodePort: Invalid value: 30080: '
            "provided port is already allocated\n"
        )

    def test_a_node_port_that_is_out_of_range(self, kubectl: Run) -> None:
        assert self.stderr(kubectl, service(type="NodePort", ports=[{"port": 80, "nodePort": 80}])) == (
            'The Service "bad" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the '
            "valid range. The range of valid ports is 30000-32767\n"
        )

    def test_a_selector_that_misses_its_template(self, kubectl: Run) -> None:
        wrong = NAMESPACE + "---" + DEPLOYMENT.replace("matchLabels: {app: web}", "matchLabels: {app: db}")
        assert self.stderr(kubectl, wrong) == (
            'The Deployment "web" is invalid: spec.template.metadata.labels: Invalid value: {"app":"web"}: '
            "`selector` does not match template `labels`\n"
        )

    def test_a_namespace_that_is_not_there(self, kubectl: Run) -> None:
        assert 'namespaces "shop" not found' in self.stderr(kubectl, SERVICE)
