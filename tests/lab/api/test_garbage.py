"""What goes with what: owners and dependents, namespaces and their content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.api.errors import ApiError
from lab.api.registry import CONFIG_MAPS, LEASES, NAMESPACES, PODS, Resource
from lab.api.store import Store


def make(
    store: Store, resource: Resource, name: str, *owners: dict[str, Any], namespace: str = "default", **spec: Any
) -> dict[str, Any]:
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        for owner in owners
    ]
    obj: dict[str, Any] = {"metadata": {"name": name, "namespace": namespace, "ownerReferences": references}}
    return store.create(resource, obj | ({"spec": spec} if spec else {}))


def pod(store: Store, name: str, *owners: dict[str, Any], namespace: str = "default") -> dict[str, Any]:
    """A pod that its node must stop first."""
    containers = [{"name": "c", "image": "i"}]
    return make(store, PODS, name, *owners, namespace=namespace, nodeName="n1", containers=containers)


def exists(store: Store, obj: dict[str, Any], resource: Resource) -> bool:
    return store.find(resource, f"{obj['metadata']['namespace']}/{obj['metadata']['name']}") is not None


def test_dependents_go_with_their_owner(store: Store) -> None:
    owner = make(store, CONFIG_MAPS, "owner")
    child = make(store, LEASES, "child", owner)
    grandchild = make(store, LEASES, "grandchild", child)
    store.delete(CONFIG_MAPS, "default", "owner")
    assert not exists(store, child, LEASES)
    assert not exists(store, grandchild, LEASES)


def test_a_dependent_stays_as_long_as_one_owner_does(store: Store) -> None:
    first, second = make(store, CONFIG_MAPS, "first"), make(store, CONFIG_MAPS, "second")
    child = make(store, LEASES, "child", first, second)
    store.delete(CONFIG_MAPS, "default", "first")
    assert exists(store, child, LEASES)
    store.delete(CONFIG_MAPS, "default", "second")
    assert not exists(store, child, LEASES)


def test_what_names_an_owner_that_is_gone_does_not_stay(store: Store) -> None:
    owner = make(store, CONFIG_MAPS, "owner")
    store.delete(CONFIG_MAPS, "default", "owner")
    assert not exists(store, make(store, LEASES, "late", owner), LEASES)


def test_orphans_stay_and_forget_their_owner(store: Store) -> None:
    owner = make(store, CONFIG_MAPS, "owner")
    make(store, LEASES, "child", owner)
    store.delete(CONFIG_MAPS, "default", "owner", propagation="Orphan")
    assert not exists(store, owner, CONFIG_MAPS)
    assert "ownerReferences" not in store.get(LEASES, "default", "child")["metadata"]


def test_in_the_foreground_the_owner_waits_for_its_dependents(store: Store) -> None:
    owner = make(store, CONFIG_MAPS, "owner")
    pod(store, "child", owner)
    store.delete(CONFIG_MAPS, "default", "owner", propagation="Foreground")
    assert store.get(CONFIG_MAPS, "default", "owner")["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert "deletionTimestamp" in store.get(PODS, "default", "child")["metadata"]
    store.delete(PODS, "default", "child", grace_seconds=0)
    assert not exists(store, owner, CONFIG_MAPS)


def test_a_namespace_goes_with_all_that_is_in_it(store: Store) -> None:
    make(store, NAMESPACES, "shop", namespace="")
    make(store, CONFIG_MAPS, "a", namespace="shop")
    store.delete(NAMESPACES, "", "shop")
    assert store.find(NAMESPACES, "shop") is None
    assert store.list(CONFIG_MAPS)[0] == []


def test_a_namespace_is_terminating_until_the_last_pod_has_stopped(store: Store) -> None:
    make(store, NAMESPACES, "shop", namespace="")
    pod(store, "p", namespace="shop")
    store.delete(NAMESPACES, "", "shop")
    assert store.get(NAMESPACES, "", "shop")["status"]["phase"] == "Terminating"
    with pytest.raises(ApiError, match="because it is being terminated"):
        make(store, CONFIG_MAPS, "late", namespace="shop")
    store.delete(PODS, "shop", "p", grace_seconds=0)
    assert store.find(NAMESPACES, "shop") is None


def test_a_namespace_made_anew_is_not_emptied_for_its_predecessor(store: Store) -> None:
    later: list[Callable[[], None]] = []
    store.defer = later.append
    make(store, NAMESPACES, "shop", namespace="")
    make(store, CONFIG_MAPS, "a", namespace="shop")
    store.delete(NAMESPACES, "", "shop")
    store.delete(CONFIG_MAPS, "shop", "a")
    make(store, NAMESPACES, "shop", namespace="")
    kept = make(store, CONFIG_MAPS, "a", namespace="shop")
    later.pop()()
    assert exists(store, kept, CONFIG_MAPS)


def test_other_namespaces_are_left_alone(store: Store) -> None:
    make(store, NAMESPACES, "shop", namespace="")
    make(store, NAMESPACES, "shop-2", namespace="")
    make(store, CONFIG_MAPS, "a", namespace="shop-2")
    store.delete(NAMESPACES, "", "shop")
    assert [o["metadata"]["namespace"] for o in store.list(CONFIG_MAPS)[0]] == ["shop-2"]
