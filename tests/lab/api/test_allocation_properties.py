"""After any sequence of requests, no two Services share an address or a port, and nothing is lost."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lab.api.admission.service_type import cluster_ips, node_ports
from lab.api.errors import ApiError
from lab.api.registry import SERVICES
from lab.api.schema import copied
from lab.api.store import Store

NAMES = st.sampled_from("abcd")
SPECS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]),
        "ports": st.lists(
            st.fixed_dictionaries(
                {"port": st.sampled_from([53, 80]), "protocol": st.sampled_from(["TCP", "UDP"])},
                optional={"nodePort": st.integers(30000, 30005)},
            ),
            min_size=1,
            max_size=2,
        ),
    },
    optional={
        "clusterIP": st.sampled_from(["None", "10.96.0.1", "10.96.0.2", "fd00::2"]),
        "ipFamilyPolicy": st.sampled_from(["SingleStack", "PreferDualStack", "RequireDualStack"]),
        "externalTrafficPolicy": st.sampled_from(["Cluster", "Local"]),
        "externalName": st.just("example.com"),
    },
)
REQUESTS = st.lists(st.tuples(NAMES, SPECS | st.none(), st.booleans()), max_size=15)


def send(store: Store, name: str, spec: dict[str, Any] | None, dry_run: bool) -> None:
    """Make, change or (without a spec) delete a Service; refusals are fine."""
    present = store.find(SERVICES, f"default/{name}")
    with contextlib.suppress(ApiError):
        if spec is None:
            store.delete(SERVICES, "default", name, dry_run=dry_run)
            return
        for i, port in enumerate(spec["ports"]):
            port["name"] = f"p{i}"
        obj = {"metadata": {"name": name}, "spec": copied(spec)}
        if present:
            store.update(SERVICES, obj, dry_run=dry_run)
        else:
            store.create(SERVICES, obj, dry_run=dry_run)


@given(REQUESTS)
def test_nothing_is_given_twice_and_everything_comes_back(requests: list[Any]) -> None:
    # So small that it runs full: 6 IPv4 addresses, 3 IPv6 ones, 6 ports.
    store = Store(service_networks=["10.96.0.0/29", "fd00::/126"], node_ports=range(30000, 30006))
    for name, spec, dry_run in requests:
        send(store, name, spec, dry_run)
        specs = [service["spec"] for service in store.list(SERVICES)[0]]
        for numbers in (cluster_ips, node_ports):
            given_out = [number for spec in specs for number in numbers(spec)]
            assert len(given_out) == len(set(given_out))
    for name in "abcd":
        send(store, name, None, False)
    for port in range(30000, 30006):  # every one can be had again
        ports = [{"port": 80, "nodePort": port}]
        name = f"again-{port}"
        store.create(SERVICES, {"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": ports}})


@given(SPECS, SPECS)
def test_the_same_update_twice_changes_nothing_the_second_time(first: dict[str, Any], second: dict[str, Any]) -> None:
    store = Store(seed=1)
    send(store, "a", first, False)
    send(store, "a", second, False)
    if store.find(SERVICES, "default/a"):
        service = store.get(SERVICES, "default", "a")
        assert store.update(SERVICES, copied(service)) is service
        stored = {"metadata": {"name": "a"}, "spec": copied(service["spec"])}
        assert store.update(SERVICES, stored) is service
