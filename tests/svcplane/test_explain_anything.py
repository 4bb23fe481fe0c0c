"""Whatever a manifest says, `svcplane explain` answers, or refuses with one line."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svcplane.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"
MANIFESTS = [[d for d in yaml.safe_load_all(f.read_text()) if d] for f in sorted(EXAMPLES.glob("*.yaml"))]
MANIFESTS.append(
    [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {"podCIDR": "10.244.1.0/24"}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "uid": "a"},
            "spec": {
                "type": "LoadBalancer",
                "clusterIP": "10.96.0.77",
                "ports": [{"name": "http", "port": 80, "nodePort": 30077}],
                "externalIPs": ["198.51.100.7"],
                "loadBalancerSourceRanges": ["10.0.0.0/8"],
                "externalTrafficPolicy": "Local",
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.4", "ipMode": "VIP"}]}},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "uid": "b", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": ["10.244.1.9"], "nodeName": "n1", "conditions": {"ready": True}}],
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "client", "uid": "c", "ownerReferences": [{"kind": "Pod", "name": "x", "uid": "d"}]},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]},
            "status": {"podIP": "10.244.1.7", "podIPs": [{"ip": "10.244.1.7"}]},
        },
    ]
)

NUMBERS = [0, -1, 65536, 2**70, 1.5, float("nan")]
TEXTS = ["", "x", "a.b", "80", "None", "\0", "x" * 300, "IPv6", "UDP", "ExternalName", "ClientIP"]
ADDRESSES = ["10.96.0.10", "fd00::1", "::/0", "10.0.0.0/8"]
OTHERS: list[Any] = [None, True, [], {}, [None], [[]], [{}], ["x"], {"a": 1}, {"": None}, {1: 2}]
odd: st.SearchStrategy[Any] = st.sampled_from([*NUMBERS, *TEXTS, *ADDRESSES, *OTHERS])


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    for key, child in inner:
        yield (*path, key)
        yield from paths(child, (*path, key))


@st.composite
def spoiled(draw: st.DrawFn) -> list[Any]:
    """The manifests of one example, with something odd in one or two places."""
    documents: list[Any] = copy.deepcopy(draw(st.sampled_from(MANIFESTS)))
    for _ in range(draw(st.integers(1, 2))):
        *parents, last = draw(st.sampled_from(list(paths(documents))))
        place: Any = documents
        for key in parents:
            place = place[key]
        place[last] = draw(odd)
    return documents


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    documents=spoiled(),
    sender=st.sampled_from(["pod/client", "node", "outside"]),
    via=st.sampled_from(["", "cluster-ip", "node-port", "load-balancer", "external-ip"]),
)
def test_any_manifest_is_answered_or_refused_with_one_line(
    documents: list[Any], sender: str, via: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "spoiled.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        way = [f"--via={via}"] if via else []
        code = main(["explain", "-f", str(file), "--from", sender, "--to", "web:80", *way])
    assert code in (0, 2)
    assert len(complained.getvalue().splitlines()) == (1 if code else 0)
    assert bool(said.getvalue()) == (code == 0)
