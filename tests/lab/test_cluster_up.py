"""Whole labs: started, used through the command line, ended, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cluster.down import down
from lab.cluster.state import StateDirectory, all_labs
from lab.network.namespace import Namespace
from patience import PATIENCE

pytestmark = pytest.mark.kernel

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: any
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
"""


class Lab:
    """A lab of the tests, used as a person does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = StateDirectory(name)

    def __call__(self, *words: str, fails: int = 0, given: str = "") -> str:
        """What `svcplane lab WORDS` prints. It must end with the code `fails`; then its errors are the answer."""
        command, *rest = words
        argv = [sys.executable, "-m", "svcplane.main", "lab", command, "--name", self.name, *rest]
        done = subprocess.run(argv, capture_output=True, text=True, input=given, timeout=100)
        assert done.returncode == fails, done.stderr + done.stdout
        return done.stderr if fails else done.stdout

    def object(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("get", *words, "-o", "json"))
        return found

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 2 * PATIENCE
        while not holds():
            assert time.monotonic() < deadline, self("get", "all,endpointslices", "-o", "wide")
            time.sleep(0.05)

    def until_available(self, deployment: str = "web", replicas: int = 2) -> None:
        self.until(
            lambda: self.object("deployment", deployment).get("status", {}).get("availableReplicas", 0) == replicas
        )


@pytest.fixture(scope="module")
def lab(lab_name: str) -> Iterator[Lab]:
    """A lab without agents: one node is enough for most."""
    lab = Lab(f"{lab_name}-up")
    lab("up", "--nodes", "1", "--proxy-mode", "none")
    yield lab
    down(lab.name)
    assert Namespace.of_lab(lab.name) == []
    assert not lab.state.exists


@pytest.fixture
def other(lab_name: str) -> Iterator[Lab]:
    """The name of a lab that a test may start."""
    lab = Lab(f"{lab_name}-other")
    yield lab
    down(lab.name)


def test_a_service_of_a_lab_is_served_by_its_agents(other: Lab) -> None:
    told = other("up", "--nodes", "2")
    assert f"export KUBECONFIG=/run/svcplane/{other.name}/kubeconfig" in told
    assert other("apply", "-f", "-", given=WEB) == "deployment.apps/web created\nservice/web created\n"
    other.until_available()
    service = other.object("service", "web")
    cluster_ip, node_port = service["spec"]["clusterIP"], service["spec"]["ports"][0]["nodePort"]
    pods = {pod["metadata"]["name"] for pod in other.object("pods")["items"]}

    def answers(where: str, address: str) -> set[str]:
        """Who answers there, of many connections; nobody does before the agents know of the pods."""
        ask = f"for i in $(seq 40); do curl -s --max-time 2 http://{address}/json || exit 0; echo; done"
        return {json.loads(line)["pod"] for line in other("exec", where, "--", "sh", "-c", ask).splitlines() if line}

    other.until(lambda: answers("node/n1", cluster_ip) == pods)
    other.until(lambda: answers("outside", f"192.0.2.2:{node_port}") == pods)
    assert "n1" in other("status")


def test_a_node_that_somebody_has_made_and_no_machine_is_behind_is_shown_too(lab: Lab) -> None:
    lab("apply", "-f", "-", given="{apiVersion: v1, kind: Node, metadata: {name: paper}}")
    (line,) = (line for line in lab("status").splitlines() if line.startswith("paper"))
    lab("delete", "node", "paper")
    assert line.split()[:4] == ["paper", "-", "-", "0"]


def test_a_lab_that_is_up_is_not_started_again(lab: Lab) -> None:
    said = lab("up", fails=2)
    assert "is up already" in said
    assert said.count("\n") == 1
    assert lab.state.is_alive


def test_applying_twice_changes_nothing_and_deleting_removes_all(lab: Lab) -> None:
    lab("apply", "-f", "-", given=WEB)
    assert lab("apply", "-f", "-", given=WEB) == "deployment.apps/web unchanged\nservice/web unchanged\n"
    lab.until_available()
    port = lab.object("service", "web")["spec"]["ports"][0]["nodePort"]
    changed = WEB.replace("port: 80,", "port: 81,").replace("replicas: 2", "replicas: 1")
    assert lab("apply", "-f", "-", given=changed) == "deployment.apps/web configured\nservice/web configured\n"
    assert lab.object("service", "web")["spec"]["ports"][0]["port"] == 81
    lab.until_available(replicas=1)
    assert port in range(30000, 32768)
    lab("delete", "-f", "-", given=WEB)
    lab.until(lambda: lab.object("pods,rs,endpointslices")["items"][1:] == [])
    assert len([machine for machine in Namespace.of_lab(lab.name) if machine.machine.count(".")]) == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (WEB.replace("targetPort: http", "targetPortz: http"), 'unknown field "spec.ports[0].targetPortz"'),
        (WEB.replace("port: 80,", "port: 80000,"), "spec.ports[0].port: Invalid value: 80000"),
        (WEB.replace("targetPort: http", "nodePort: 80"), "provided port is not in the valid range"),
        (WEB.replace("kind: Service", "kind: Servise"), "kind 'Servise': the lab does not know it"),
        (
            WEB.replace("name: web}\nspec:\n  type", "name: web, namespace: x}\nspec:\n  type"),
            'namespaces "x" not found',
        ),
        (WEB + "---\n- a list\n", "document 3"),
    ],
)
def test_a_wrong_document_stops_the_ones_before_it(lab: Lab, wrong: str, message: str) -> None:
    said = lab("apply", "-f", "-", given=wrong, fails=2)
    assert message in said
    assert "standard input, document" in said
    assert said.count("\n") == 1
    assert lab.object("deployments,services")["items"][1:] == []


def test_documents_that_only_clash_with_each_other_are_undone(lab: Lab) -> None:
    def service(name: str) -> str:
        return (
            f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n"
            "spec: {type: NodePort, ports: [{port: 80, nodePort: 30123}]}\n---\n"
        )

    said = lab("apply", "-f", "-", given=service("one") + service("two"), fails=2)
    assert "document 2 (Service two)" in said
    assert "provided port is already allocated" in said
    assert [item["metadata"]["name"] for item in lab.object("services")["items"]] == ["kubernetes"]


def test_a_namespace_and_what_is_in_it_come_together(lab: Lab) -> None:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
    pod = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: till, namespace: shop}\n"
        "spec: {terminationGracePeriodSeconds: 1, containers: [{name: till, image: any}]}\n"
    )
    assert lab("apply", "-f", "-", given=namespace + pod) == "namespace/shop created\npod/till created\n"
    lab.until(lambda: "Running" in lab("get", "pods", "-A"))
    assert "till" in lab("get", "pods", "-n", "shop", "-o", "wide")
    assert "serves TCP" in lab("logs", "-n", "shop", "pod/till")
    assert "eth0" in lab("exec", "-n", "shop", "pod/till", "--", "ip", "-o", "link")
    lab("delete", "namespace", "shop")
    assert "till" not in lab("get", "pods", "-A")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("get", "ingress"), "kind 'ingress'"),
        (("get", "pod", "nobody"), 'pods "nobody" not found'),
        (("delete", "pod", "nobody"), 'pods "nobody" not found'),
        (("delete",), "nothing to delete"),
        (("exec", "pod/nobody", "--", "true"), 'pods "nobody" not found'),
        (("exec", "node/n7", "--", "true"), "expected one of n1"),
        (("exec", "printer", "--", "true"), "names no machine"),
        (("exec", "node/n1", "--"), "what to run?"),
        (("exec", "node/n1", "--", "/no/such/program"), "No such file"),
        (("logs", "agent/n9"), "has said nothing"),
        (("apply", "-f", "/no/such/file"), "No such file"),
    ],
)
def test_a_mistake_gets_one_line(lab: Lab, words: tuple[str, ...], message: str) -> None:
    said = lab(*words, fails=2)
    assert message in said
    assert said.count("\n") == 1


def test_a_command_on_a_machine_ends_with_its_own_code(lab: Lab) -> None:
    lab("exec", "outside", "--", "sh", "-c", "exit 7", fails=7)


def test_kubectl_finds_the_lab(lab: Lab) -> None:
    path = lab("kubeconfig").strip()
    assert Path(path).read_text().count("127.0.0.1") == 1
    # The control plane is reached by the nodes, and by pods as a Service, in the lab's own network.
    assert "gitVersion" in lab("exec", "node/n1", "--", "curl", "-s", "http://192.0.2.10:6443/version")


def test_two_labs_run_side_by_side(lab: Lab, other: Lab) -> None:
    other("up", "--nodes", "1", "--proxy-mode", "none", "--ip-family", "ipv6")
    other("apply", "-f", "-", given=WEB)
    other.until_available()
    assert lab.object("pods")["items"] == []
    assert all(":" in pod["status"]["podIP"] for pod in other.object("pods")["items"])
    other("down")
    assert lab.state.is_alive
    assert Namespace.of_lab(other.name) == []
    assert "n1" in lab("get", "nodes")


def test_what_a_killed_lab_left_is_removed_by_down(other: Lab) -> None:
    other("up", "--nodes", "1", "--proxy-mode", "none")
    other("apply", "-f", "-", given=WEB)
    other.until_available()
    state = other.state.read()
    assert state is not None
    os.kill(state.supervisor, signal.SIGKILL)
    other.until(lambda: not other.state.is_alive)
    assert Namespace.of_lab(other.name) != []
    assert "has crashed" in other("status")
    other("down")
    assert Namespace.of_lab(other.name) == []
    assert other.name not in {lab.lab for lab in all_labs()}
    assert "nothing is there of" in other("down", fails=2)


def test_a_crashed_lab_can_be_started_again_at_once(other: Lab) -> None:
    other("up", "--nodes", "1", "--proxy-mode", "none")
    state = other.state.read()
    assert state is not None
    os.kill(state.supervisor, signal.SIGKILL)
    other.until(lambda: not other.state.is_alive)
    other("up", "--nodes", "1", "--proxy-mode", "none")
    assert other.object("pods")["items"] == []


def test_an_agent_that_can_not_run_fails_the_start_with_its_last_words(other: Lab) -> None:
    said = other("up", "--nodes", "1", "--agent", "sh -c 'echo no licence found; exit 3'", fails=1)
    assert "the agent of n1 has ended 3 times; it said last: no licence found" in said
    assert not other.state.exists
    assert Namespace.of_lab(other.name) == []


def test_a_mode_that_our_agent_has_not_is_said_before_anything_is_made(other: Lab) -> None:
    said = other("up", "--proxy-mode", "netfilter", fails=2)
    assert "'netfilter' is none of nftables, iptables, ipvs, userspace, none" in said
    assert said.count("\n") == 1
    assert not other.state.exists


def test_a_start_that_is_interrupted_leaves_nothing(other: Lab) -> None:
    never_ready = "sh -c 'exec sleep 600'"  # with a shell, as sleep would end at the flags that an agent is given
    words = ["lab", "up", "--name", other.name, "--nodes", "1", "--agent", never_ready]
    start = subprocess.Popen([sys.executable, "-m", "svcplane.main", *words], stderr=subprocess.PIPE, text=True)
    assert start.stderr is not None
    assert any("waiting for the agents of n1" in line for line in start.stderr)
    start.send_signal(signal.SIGINT)
    said = start.stderr.read()
    assert start.wait(2 * PATIENCE) == 130, said
    start.stderr.close()
    assert not other.state.exists
    assert Namespace.of_lab(other.name) == []


def test_an_agent_that_dies_is_started_again(other: Lab) -> None:
    # What takes the agent's place here answers /healthz as kube-proxy does, until it is killed.
    other("up", "--nodes", "1", "--agent", f"{sys.executable} -c '{HEALTHY}'")
    first = pid_of(other)
    os.kill(first, signal.SIGKILL)
    other.until(lambda: pid_of(other) != first)
    other.until(lambda: "ready" in other("status").splitlines()[-1] and "not ready" not in other("status"))


HEALTHY = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
print("pid", os.getpid(), flush=True)
http.server.HTTPServer(("127.0.0.1", 10256), Handler).serve_forever()
"""


def pid_of(lab: Lab) -> int:
    """Process id of the latest agent of n1, as it wrote it."""
    lines = [line for line in lab("logs", "agent/n1").splitlines() if line.startswith("pid ")]
    return int(lines[-1].split()[1])
