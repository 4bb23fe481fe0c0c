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
