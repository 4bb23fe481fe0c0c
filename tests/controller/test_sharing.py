"""What repeats is shared, and what is remembered for that has a bound."""

from __future__ import annotations

from typing import Any

import pytest

from controller.api import sharing
from controller.api.sharing import Sharing
from controller.objects import EndpointHints, EndpointSlice, ForNode, Metadata, SliceEndpoint


def hints(node: int) -> EndpointHints:
    return EndpointHints(for_nodes=(ForNode(f"n{node}"),))


def shared(memory: Sharing, node: int) -> EndpointHints:
    """The hints of an endpoint for this node, as a slice has them that was just decoded."""
    metadata = Metadata(name="web-1", namespace="default")
    endpoint = SliceEndpoint(addresses=("10.244.0.1",), hints=hints(node))
    decoded = EndpointSlice(metadata=metadata, address_type="IPv4", endpoints=(endpoint,))
    (endpoint,) = memory.share(decoded).endpoints or ()
    assert endpoint.hints is not None
    return endpoint.hints


def test_equal_hints_are_one() -> None:
    memory = Sharing()
    assert shared(memory, 1) is shared(memory, 1)
    assert shared(memory, 1) is not shared(memory, 2)


def test_hints_for_nodes_of_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "MOST_HINTS", 10)
    memory = Sharing()
    known: Any = memory._hints
    for node in range(100):
        assert shared(memory, node) == hints(node)
        assert len(known) <= 10
    assert shared(memory, 99) is shared(memory, 99)
