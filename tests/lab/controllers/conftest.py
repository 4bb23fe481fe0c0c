"""A cluster without machines: a store, the controllers, and a kubelet that only says what a real one would."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.api.errors import Object
from lab.api.registry import DEPLOYMENTS, NODES, PODS, REPLICA_SETS, SERVICES, Resource
from lab.api.store import Store
from lab.controllers import all_controllers
from lab.controllers.objects import is_going, key_of
from lab.controllers.runner import Runner


class Make:
    """Objects as the API server would hand them out, in few words."""

    def service(self, name: str = "web", *, ports: list[Object] | None = None, **spec: Any) -> Object:
        http = {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}
        base = {
            "selector": {"app": name},
            "ports": [http] if ports is None else ports,
            "clusterIP": "10.96.0.10",
            "ipFamilies": ["IPv4"],
        }
        metadata = {"name": name, "namespace": "default", "uid": f"service-{name}"}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": base | spec}

    def pod(
        self,
        name: str,
        *ips: str,
        ready: bool = True,
        going: bool = False,
        node: str = "n1",
        phase: str = "Running",
        labels: dict[str, str] | None = None,
        **spec: Any,
    ) -> Object:
        metadata: Object = {
            "name": name,
            "namespace": "default",
            "uid": f"pod-{name}",
            "labels": {"app": "web"} if labels is None else labels,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        if going:
            metadata["deletionTimestamp"] = "2026-01-01T00:01:00Z"
        conditions = [
            {
                "type": "Ready",
                "status": "True" if ready else "False",
                "lastTransitionTime": "2026-01-01T00:00:10Z",
            }
        ]
        status = {"phase": phase, "conditions": conditions, "podIPs": [{"ip": ip} for ip in ips]}
        return {"metadata": metadata, "spec": {"nodeName": node, "containers": []} | spec, "status": status}

    def node(self, name: str, zone: str = "", *, ready: bool = True, cpu: str = "", **spec: Any) -> Object:
        status: Object = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
        if cpu:
            status["allocatable"] = {"cpu": cpu}
        labels = {"topology.kubernetes.io/zone": zone} if zone else {}
        return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}

    def nodes(self, **zones: str) -> dict[str, Object]:
        """Nodes by name, given as name=zone."""
        return {name: self.node(name, zone) for name, zone in zones.items()}

    def container(self, **ports: int) -> Object:
        """A container with named TCP ports."""
        return {
            "name": "c",
            "image": "any",
            "ports": [{"name": name, "containerPort": number} for name, number in ports.items()],
        }

    def deployment(self, name: str = "web", replicas: int = 3, image: str = "v1", **spec: Any) -> Object:
        labels = {"app": name}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [self.container(http=8080) | {"image": image}]},
        }
        base = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "default"},
            "spec": base | spec,
        }


class FakeKubelet:
    """Makes every bound pod run and, if `makes_ready` says so, ready; confirms deletions."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._numbers = itertools.count(10)
        self.makes_ready: Callable[[Object], bool] = lambda _: True
        self.lets_go: Callable[[Object], bool] = lambda _: True

    def step(self) -> None:
        for pod in self._store.list(PODS)[0]:
            if not pod["spec"].get("nodeName"):
                continue
            if is_going(pod):
                if self.lets_go(pod):
                    self._store.delete(PODS, *key_of(pod), grace_seconds=0)
                continue
            self._report(pod)

    def _report(self, pod: Object) -> None:
        status = pod.get("status") or {}
        ready = "True" if self.makes_ready(pod) else "False"
        conditions = {c["type"]: c for c in status.get("conditions") or ()}
        if status.get("podIP") and conditions.get("Ready", {}).get("status") == ready:
            return
        ip = status.get("podIP") or str(IPv4Address("10.244.0.0") + next(self._numbers))
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions["Ready"] = {"type": "Ready", "status": ready, "lastTransitionTime": now}
        new = status | {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": list(conditions.values()),
        }
        self._store.update(PODS, pod | {"status": new}, subresource="status")


class Cluster:
    """Everything at once; `settle` lets it do all there is to do."""

    def __init__(self, make: Make, time: datetime | None = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        """`time` stands still until `pass_time`; None is the real one."""
        self.time = time
        self.store = Store(seed=1, clock=self.now)
        self.kubelet = FakeKubelet(self.store, self.now)
        self.runner = Runner(self.store, partial(all_controllers, clock=self.now), lambda: self.now().timestamp())
        self.make = make
        for name, zone in (("n1", "za"), ("n2", "zb")):
            self.add_node(make.node(name, zone))

    def now(self) -> datetime:
        return self.time or datetime.now(UTC)

    def add_node(self, node: Object) -> None:
        created = self.store.create(NODES, {"apiVersion": "v1", "kind": "Node"} | node)
        self.store.update(NODES, created | {"status": node["status"]}, subresource="status")

    def settle(self) -> None:
        before = -1
        while before != self.store.version:
            before = self.store.version
            self.runner.settle()
            self.kubelet.step()

    def step(self) -> None:
        """One round of everybody."""
        self.runner.settle()
        self.kubelet.step()
        self.runner.settle()

    def pass_time(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        self.settle()

    def apply(self, resource: Resource, obj: Object) -> Object:
        """Create, or replace the spec of what is there."""
        metadata = obj["metadata"]
        found = {key_of(o) for o in self.store.list(resource)[0]}
        if key_of(obj) not in found:
            return self.store.create(resource, obj)
        old = self.store.get(resource, metadata.get("namespace", ""), metadata["name"])
        return self.store.update(resource, old | {"spec": old["spec"] | obj["spec"]})

    def deploy(self, name: str = "web", replicas: int = 3, image: str = "v1", **spec: Any) -> None:
        self.apply(DEPLOYMENTS, self.make.deployment(name, replicas, image, **spec))

    def serve(self, name: str = "web", **spec: Any) -> None:
        service = self.make.service(name, **spec)
        del service["metadata"]["uid"], service["spec"]["clusterIP"], service["spec"]["ipFamilies"]
        self.apply(SERVICES, service)

    def all(self, resource: Resource) -> list[Object]:
        return self.store.list(resource, "default")[0]

    def deployment(self, name: str = "web") -> Object:
        return self.store.get(DEPLOYMENTS, "default", name)

    def replica_sets(self) -> dict[str, int]:
        """spec.replicas by the image of the template."""
        return {
            rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs["spec"]["replicas"]
            for rs in self.all(REPLICA_SETS)
        }

    def pods(self) -> list[Object]:
        return self.all(PODS)


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


@pytest.fixture
def cluster(make: Make) -> Cluster:
    return Cluster(make)
