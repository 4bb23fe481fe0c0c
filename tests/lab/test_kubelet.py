"""The lab's kubelet: what it decides, without a kernel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kubelet.addresses import AddressPool
from lab.kubelet.probes import (
    LIVENESS,
    READINESS,
    Execute,
    HttpGet,
    Impossible,
    Probe,
    TcpConnect,
    Verdict,
    probe_of,
)
from lab.kubelet.server import served_ports
from lab.kubelet.status import Ended, Server, pod_status

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
CONTAINER: dict[str, Any] = {"name": "web", "image": "nginx", "ports": [{"name": "http", "containerPort": 8000}]}


def a_pod(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "web-1", "namespace": "default", "uid": "u1"}
    return {"metadata": metadata, "spec": {"containers": [CONTAINER]} | spec, "status": {}}


def status_of(pod: dict[str, Any], server: Server, *, ready: bool = True, now: datetime = NOW) -> dict[str, Any]:
    return pod_status(
        pod,
        server,
        ready={"web": ready},
        started={},
        addresses=("10.244.1.2", "fd00:244:1::2"),
        host_addresses=("192.0.2.1",),
        since=NOW,
        now=now,
    )


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in status["conditions"]}


def test_a_probe_has_the_defaults_of_the_api() -> None:
    probe = probe_of(CONTAINER | {"readinessProbe": {"httpGet": {"port": 80}}}, READINESS)
    assert probe == Probe(HttpGet(80, "/", "", ()), 0, 10, 1, 1, 3)


def test_a_probe_may_name_its_port() -> None:
    probe = probe_of(CONTAINER | {"livenessProbe": {"tcpSocket": {"port": "http"}}}, LIVENESS)
    assert probe is not None
    assert probe.action == TcpConnect(8000, "")


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        ({"httpGet": {"port": "metrics"}}, "no container port is called metrics"),
        ({"httpGet": {"port": 1, "scheme": "HTTPS"}}, "HTTPS"),
        ({"grpc": {"port": 1}}, "gRPC"),
    ],
)
def test_a_probe_that_can_not_be_carried_out_says_why(handler: dict[str, Any], reason: str) -> None:
    probe = probe_of(CONTAINER | {"readinessProbe": handler}, READINESS)
    assert probe is not None
    assert isinstance(probe.action, Impossible)
    assert reason in probe.action.reason


def test_a_command_is_kept_word_for_word() -> None:
    probe = probe_of(CONTAINER | {"readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/a b"]}}}, READINESS)
    assert probe is not None
    assert probe.action == Execute(("test", "-e", "/tmp/a b"))


def test_it_takes_a_row_of_failures_to_fail_and_a_row_of_successes_to_recover() -> None:
    verdict = Verdict(Probe(TcpConnect(1, ""), 0, 1, 1, success_threshold=2, failure_threshold=3), success=True)
    tries = [False, False, True, False, False, False, True, False, True, True]
    assert [verdict.count(success) for success in tries] == [False] * 5 + [True] + [False] * 3 + [True]
    assert verdict.success


def test_a_pod_serves_the_ports_it_declares_and_the_built_in_ones() -> None:
    ports = [
        {"containerPort": 9090},
        {"containerPort": 53, "protocol": "UDP"},
        {"containerPort": 1, "protocol": "SCTP"},
    ]
    pod = a_pod(containers=[CONTAINER, {"name": "dns", "ports": ports}])
    assert served_ports(pod) == ([5353, 8000, 8080, 8081, 9090], [53, 5353, 8080, 8081])


def test_a_pod_on_its_nodes_network_serves_only_what_it_declares() -> None:
    assert served_ports(a_pod(hostNetwork=True)) == ([8000], [])


def test_a_sidecars_ports_are_served_and_an_init_containers_are_not() -> None:
    def init(port: int, **more: Any) -> dict[str, Any]:
        return {"name": f"i{port}", "ports": [{"containerPort": port}], **more}

    tcp, _ = served_ports(a_pod(initContainers=[init(7000), init(7001, restartPolicy="Always")]))
    assert 7001 in tcp
    assert 7000 not in tcp


def test_addresses_of_both_families_share_their_number() -> None:
    pool = AddressPool(["10.244.1.0/24", "fd00:244:1::/64"])
    assert pool.take() == ("10.244.1.2", "fd00:244:1::2")
    assert pool.take() == ("10.244.1.3", "fd00:244:1::3")


def test_an_address_that_was_given_back_rests_as_long_as_possible() -> None:
    pool = AddressPool(["10.244.1.0/24"])
    first = pool.take()
    pool.give_back(first)
    later = [pool.take() for _ in range(252)]
    assert first not in later
    assert pool.take() == first
    with pytest.raises(LookupError, match="in use"):
        pool.take()


@given(st.lists(st.integers(0, 30)))
def test_no_address_is_ever_in_use_twice(steps: list[int]) -> None:
    pool = AddressPool(["10.244.1.0/24"])
    used: list[tuple[str, ...]] = []
    for step in steps:
        if step < len(used):
            pool.give_back(used.pop(step))
        else:
            taken = pool.take()
            assert taken not in used
            used.append(taken)


def test_a_pod_without_a_running_server_is_pending_and_not_ready() -> None:
    status = status_of(a_pod(), Server())
    assert status["phase"] == "Pending"
    assert conditions(status)["Ready"] == "False"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_a_running_pod_is_ready_when_its_probes_say_so() -> None:
    running = Server(started=NOW)
    for ready in (False, True):
        status = status_of(a_pod(), running, ready=ready)
        assert status["phase"] == "Running"
        assert conditions(status)["Ready"] == str(ready)
        assert status["containerStatuses"][0]["ready"] is ready
    assert status["podIPs"] == [{"ip": "10.244.1.2"}, {"ip": "fd00:244:1::2"}]


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    pod = a_pod()
    pod["status"] = status_of(pod, Server(started=NOW), ready=False)
    later = NOW + timedelta(seconds=5)
    times = {
        condition["type"]: condition["lastTransitionTime"]
        for condition in status_of(pod, Server(started=NOW), ready=True, now=later)["conditions"]
    }
    assert times["Initialized"] == "2026-01-01T12:00:00Z"
    assert times["Ready"] == "2026-01-01T12:00:05Z"


def test_a_readiness_gate_that_nobody_opened_keeps_the_pod_unready() -> None:
    pod = a_pod(readinessGates=[{"conditionType": "example.com/balanced"}])
    assert conditions(status_of(pod, Server(started=NOW)))["Ready"] == "False"
    pod["status"] = {"conditions": [{"type": "example.com/balanced", "status": "True"}]}
    status = status_of(pod, Server(started=NOW))
    assert conditions(status)["Ready"] == "True"
    assert conditions(status)["example.com/balanced"] == "True"


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (137, "Failed")])
def test_a_pod_that_is_over_says_how_it_ended(code: int, phase: str) -> None:
    status = status_of(a_pod(), Server(started=NOW, ended=Ended(code, NOW, NOW)))
    assert status["phase"] == phase
    assert conditions(status)["Ready"] == "False"
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == code


def test_a_server_in_its_back_off_is_waiting_and_remembers_its_end() -> None:
    server = Server(waiting="CrashLoopBackOff", restarts=1, last=Ended(1, NOW, NOW))
    status = status_of(a_pod(), server)
    assert status["phase"] == "Running"
    (container,) = status["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["restartCount"] == 1
    assert container["lastState"]["terminated"]["exitCode"] == 1
