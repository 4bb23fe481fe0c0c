"""A store, and a server on it that runs beside the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.api.registry import SERVICES
from lab.api.store import Store
from served_store import Served


@pytest.fixture
def store() -> Store:
    return Store(seed=1)


@pytest.fixture
def served() -> Iterator[Served]:
    running = Served()
    yield running
    running.stop()


@pytest.fixture
def create_service(store: Store) -> Callable[..., dict[str, Any]]:
    """Make a Service in namespace default from the fields of its spec; return its spec as it was stored."""

    def create(name: str = "web", **spec: Any) -> dict[str, Any]:
        spec.setdefault("ports", [{"port": 80}])
        made: dict[str, Any] = store.create(SERVICES, {"metadata": {"name": name}, "spec": spec})["spec"]
        return made

    return create
