"""Bodies in protobuf: read as the same object in JSON, or refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.api.errors import ApiError
from lab.api.http.protobuf import decode_object
from lab.api.kinds.numbers import NUMBERS
from lab.api.kinds.pod import POD
from lab.api.kinds.service import SERVICE
from lab.api.registry import RESOURCES
from lab.api.schema import records


def field(number: int, content: bytes | str | int) -> bytes:
    """One field: a number, or text or a message with its length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    raw = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def body(message: bytes, kind: str = "Service") -> bytes:
    return b"k8s\0" + field(1, field(1, "v1") + field(2, kind)) + field(2, message)


def test_a_service_reads_as_it_would_in_json() -> None:
    metadata = field(1, "web") + field(2, "") + field(8, b"") + field(11, field(1, "app") + field(2, "web"))
    target = field(1, 1) + field(2, 0) + field(3, "http")
    port = field(1, "") + field(2, "TCP") + field(3, 80) + field(4, target) + field(5, 0)
    spec = field(1, port) + field(3, "") + field(18, "10.96.0.7") + field(20, 0) + field(14, b"")
    obj = decode_object(body(field(1, metadata) + field(2, spec) + field(3, field(1, b""))), SERVICE)
    assert obj == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "ports": [{"protocol": "TCP", "port": 80, "targetPort": "http"}],
            "clusterIPs": ["10.96.0.7"],
            "allocateLoadBalancerNodePorts": False,
            "sessionAffinityConfig": {},
        },
    }


def test_an_empty_field_that_nobody_knows_does_no_harm() -> None:
    cluster_name = field(15, "")  # of ObjectMeta, until 1.24
    obj = decode_object(body(field(1, field(1, "web") + cluster_name)), SERVICE)
    assert obj["metadata"] == {"name": "web"}


@pytest.mark.parametrize(
    ("message", "shape", "complaint"),
    [
        (field(2, field(99, "x")), SERVICE, "field 99 of Service.spec is not understood in protobuf; send JSON"),
        (field(2, "x"), POD, "field 2 of Pod is not understood in protobuf; send JSON"),
        (field(1, 7), SERVICE, "a number where text or a message is expected"),
        (b"\x0a\x7f", SERVICE, "it ends in the middle of a field"),
    ],
)
def test_what_is_not_understood_is_refused(message: bytes, shape: Any, complaint: str) -> None:
    with pytest.raises(ApiError) as refused:
        decode_object(body(message), shape)
    assert refused.value.code == 400
    assert complaint in str(refused.value)


@given(st.binary(max_size=60))
def test_garbage_is_refused_and_nothing_worse(garbage: bytes) -> None:
    for attempt in (garbage, b"k8s\0" + garbage, body(garbage)):
        with contextlib.suppress(ApiError):
            assert isinstance(decode_object(attempt, SERVICE), dict)


def test_every_number_is_that_of_a_known_field() -> None:
    shapes = {shape.name: shape for resource in RESOURCES for shape in records(resource.shape)}
    for name, numbers in NUMBERS.items():
        if name in shapes:
            assert {numbered.name for numbered in numbers.values()} <= shapes[name].fields.keys()
