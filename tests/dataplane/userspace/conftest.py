"""The small node of `small_node`, with an engine and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from dataplane.table import Family, ForwardingTable
from dataplane.userspace.engine import Engine
from dataplane.userspace.limits import Limits
from small_node import HOST, LIMITS, NAMES, Names, Node, small_table

NodeWith = Callable[[Limits], Node]


@pytest.fixture
def table() -> ForwardingTable:
    return small_table()


@pytest.fixture(params=list(Family), ids=lambda family: family.name.lower())
def names(request: pytest.FixtureRequest) -> Names:
    """Each test that asks for it runs once with IPv4 and once with IPv6."""
    return NAMES[request.param]


@pytest.fixture
def node_with(table: ForwardingTable) -> Iterator[NodeWith]:
    """Makes nodes with these limits, all exactly alike."""
    with ExitStack() as stack:

        def make(limits: Limits) -> Node:
            engine = stack.enter_context(Engine(HOST, limits=limits, seed=7))
            engine.apply(table)
            return Node(engine)

        yield make


@pytest.fixture
def node(node_with: NodeWith) -> Node:
    return node_with(LIMITS)


@pytest.fixture
def twin(node_with: NodeWith) -> Node:
    """Another node, made exactly as `node` is."""
    return node_with(LIMITS)
