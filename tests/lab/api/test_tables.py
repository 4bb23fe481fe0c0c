"""What stands in the cells of `kubectl get`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lab.api.registry import (
    CORE_EVENTS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NODES,
    PODS,
    RESOURCES,
    SERVICES,
    Resource,
)
from lab.api.tables.cells import duration
from lab.api.tables.table import table

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
META = {"name": "x", "creationTimestamp": "2030-01-01T11:55:00Z"}


def row(resource: Resource, **parts: Any) -> dict[str, Any]:
    """The cells of an object, by column."""
    obj = {"metadata": META | parts.pop("metadata", {})} | parts
    made = table(resource, [obj], NOW, metadata={})
    names = [column["name"] for column in made["columnDefinitions"]]
    assert len(names) == len(made["rows"][0]["cells"])
    return dict(zip(names, made["rows"][0]["cells"], strict=True))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (599, "9m59s"), (600, "10m"), (10799, "179m"),
        (10800, "3h"), (12600, "3h30m"), (28800, "8h"), (172799, "47h"), (172800, "2d"), (180000, "2d2h"),
        (691200, "8d"), (63072000, "2y"), (-1, "0s"), (-60, "<invalid>"),
    ],
)  # fmt: skip
def test_durations_have_two_units_at_most(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def running(ready: bool) -> dict[str, Any]:
    return {"name": "c", "ready": ready, "restartCount": 0, "state": {"running": {}}}


@pytest.mark.parametrize(
    ("metadata", "status", "shown"),
    [
        ({}, {"phase": "Pending"}, "Pending"),
        ({}, {"phase": "Running", "containerStatuses": [running(True)]}, "Running"),
        ({}, {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "Pulling"}}}]}, "Pulling"),
        ({}, {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}, "ExitCode:3"),
        ({}, {"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        ({"deletionTimestamp": "2030-01-01T12:00:10Z"}, {"phase": "Running"}, "Terminating"),
    ],
)  # fmt: skip
def test_one_word_sums_up_a_pod(metadata: dict[str, str], status: dict[str, Any], shown: str) -> None:
    assert row(PODS, metadata=metadata, spec={"containers": [{"name": "c"}]}, status=status)["Status"] == shown


def test_a_pod_shows_its_ready_containers_and_its_place() -> None:
    status = {"phase": "Running", "podIP": "10.244.1.5", "containerStatuses": [running(True), running(False)]}
    cells = row(PODS, spec={"nodeName": "n1", "containers": [{"name": "a"}, {"name": "b"}]}, status=status)
    assert (cells["Ready"], cells["IP"], cells["Node"], cells["Age"]) == ("1/2", "10.244.1.5", "n1", "5m")


@pytest.mark.parametrize(
    ("spec", "status", "shown"),
    [
        ({"type": "ClusterIP", "externalIPs": ["192.0.2.1", "192.0.2.2"]}, {}, "192.0.2.1,192.0.2.2"),
        ({"type": "ClusterIP"}, {}, "<none>"),
        ({"type": "LoadBalancer"}, {}, "<pending>"),
        ({"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}, "192.0.2.9"),
        ({"type": "ExternalName", "externalName": "example.com"}, {}, "example.com"),
    ],
)
def test_the_external_address_of_a_service(spec: dict[str, Any], status: dict[str, Any], shown: str) -> None:
    assert row(SERVICES, spec=spec, status=status)["External-IP"] == shown


def test_the_ports_of_a_service_show_its_node_ports() -> None:
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]
    spec = {"type": "NodePort", "clusterIP": "10.96.0.7", "ports": ports, "selector": {"b": "2", "a": "1"}}
    cells = row(SERVICES, spec=spec)
    assert (cells["Port(s)"], cells["Selector"]) == ("80:30080/TCP,53/UDP", "a=1,b=2")


def test_many_endpoints_are_counted() -> None:
    addresses = [{"ip": f"10.244.1.{i}"} for i in range(5)]
    cells = row(ENDPOINTS, subsets=[{"addresses": addresses, "ports": [{"port": 80}]}])
    assert cells["Endpoints"] == "10.244.1.0:80,10.244.1.1:80,10.244.1.2:80 + 2 more..."
    assert row(ENDPOINT_SLICES, addressType="IPv4", endpoints=[])["Endpoints"] == "<unset>"


def test_a_cordoned_node_says_so() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    labels = {"labels": {"node-role.kubernetes.io/worker": ""}}
    cells = row(NODES, metadata=labels, spec={"unschedulable": True}, status=ready)
    assert (cells["Status"], cells["Roles"]) == ("Ready,SchedulingDisabled", "worker")


def test_a_deployment_counts_its_replicas() -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    spec = {"replicas": 3, "template": template, "selector": {"matchLabels": {"app": "web"}}}
    cells = row(DEPLOYMENTS, spec=spec, status={"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1})
    assert [cells[name] for name in ("Ready", "Up-to-date", "Available")] == ["2/3", 3, 1]
    assert [cells[name] for name in ("Containers", "Images", "Selector")] == ["c", "i:1", "app=web"]


def test_an_event_tells_what_happened_to_what() -> None:
    about = {"kind": "Pod", "name": "p"}
    cells = row(
        CORE_EVENTS, involvedObject=about, reason="Killing", message=" m\n", lastTimestamp=META["creationTimestamp"]
    )
    assert (cells["Last Seen"], cells["Object"], cells["Message"]) == ("5m", "pod/p", "m")


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.qualified)
def test_every_kind_has_columns_for_any_object(resource: Resource) -> None:
    empty = {"spec": {"template": {"spec": {}}, "type": "ClusterIP"}, "endpoints": [], "addressType": "IPv4"}
    assert row(resource, **empty)["Name"] == "x"
