"""The demo: it waits for what it tells of, however slow the machine is."""

from __future__ import annotations

from typing import Any

import pytest

from lab.cluster.client import ApiClient
from lab.cluster.options import lab_options
from svcplane.lab import demo


class SlowCluster(ApiClient):
    """The Deployment's pods are ready at once, and the pod of its own a while later."""

    def __init__(self) -> None:
        self.asked = 0

    def get(self, *_: object, **__: object) -> Any:
        return {"status": {"readyReplicas": 3}}

    def request(self, *_: object, **__: object) -> Any:
        self.asked += 1
        ready = {"podIP": "10.244.1.2", "conditions": [{"type": "Ready", "status": "True"}]}
        status = ready if self.asked > 3 else {"phase": "Pending"}
        return {"items": [{"metadata": {"name": "client"}, "spec": {"nodeName": "n1"}, "status": status}]}


def test_the_demo_waits_for_pods_that_no_deployment_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "apply", lambda *_: [])
    options = lab_options(name="demo-test", nodes=2, family="dual", proxy_mode="nftables", agent=demo.OUR_AGENT)
    demo._Demo(options, SlowCluster())._apply()
    assert "pod client                 10.244.1.2   on n1" in capsys.readouterr().out
