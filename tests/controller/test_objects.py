"""What can be decoded is within the ranges of the API, whoever serves it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.objects import EndpointSlice, Service


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Service, {"spec": {"ports": [{"port": 65536}]}}),
        (Service, {"spec": {"ports": [{"port": -1}]}}),
        (Service, {"spec": {"ports": [{"port": 80, "nodePort": 70000}]}}),
        (Service, {"spec": {"healthCheckNodePort": 65536}}),
        (Service, {"spec": {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}}),
        (Service, {"spec": {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}}),
        (EndpointSlice, {"ports": [{"name": "", "port": 65536}]}),
    ],
)
def test_a_number_that_fits_into_no_packet_or_rule_is_no_object(kind: type[Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(wrong), type=kind)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (EndpointSlice, {"addressType": "IPv4", "endpoints": None, "ports": None}),
        (EndpointSlice, {"endpoints": [{"addresses": None, "conditions": {"ready": None}, "nodeName": None}]}),
        (Service, {"metadata": {"name": "web", "creationTimestamp": None, "labels": None}, "spec": {"ports": None}}),
        (Service, {"spec": {"internalTrafficPolicy": None}, "status": {"loadBalancer": {"ingress": None}}}),
    ],
)
def test_what_the_api_server_writes_as_null_is_as_good_as_missing(kind: type[Any], written: dict[str, Any]) -> None:
    def without_nulls(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
        return [without_nulls(inner) for inner in value] if isinstance(value, list) else value

    decoded = msgspec.json.decode(msgspec.json.encode(written), type=kind)
    assert decoded == msgspec.json.decode(msgspec.json.encode(without_nulls(written)), type=kind)
