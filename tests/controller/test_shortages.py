"""Service ports with a Local traffic policy that have endpoints, but none on this node."""

from __future__ import annotations

from typing import Any

import pytest

from cluster import VIP, draining, dual_stack, piece, port, service, unready, view
from controller.compile import Shortage, compile_service
from controller.objects import EndpointSlice, Service
from dataplane.table import Family

INTERNAL, EXTERNAL = Shortage(Family.IPV4, "internal"), Shortage(Family.IPV4, "external")
BOTH_LOCAL: dict[str, Any] = {"internal_traffic_policy": "Local", "external_traffic_policy": "Local"}


def shortages(of: Service, *slices: EndpointSlice) -> tuple[Shortage, ...]:
    return compile_service(of, slices, view()).shortages


@pytest.mark.parametrize(
    ("policies", "where", "found"),
    [
        ({}, ("b3",), ()),
        ({"internal_traffic_policy": "Local"}, ("b1", "b3"), ()),
        ({"internal_traffic_policy": "Local"}, ("b3",), (INTERNAL,)),
        ({"internal_traffic_policy": "Local"}, (), ()),
        ({"external_traffic_policy": "Local"}, ("b1", "b3"), ()),
        ({"external_traffic_policy": "Local"}, ("b3",), (EXTERNAL,)),
        ({"external_traffic_policy": "Local"}, (), ()),
        (BOTH_LOCAL, ("b3",), (INTERNAL, EXTERNAL)),
        (BOTH_LOCAL, (draining("b1"), "b3"), ()),
        (BOTH_LOCAL, (unready("b3"),), ()),
    ],
)
def test_count_where_others_could_serve_and_this_node_cannot(
    policies: dict[str, Any], where: tuple[Any, ...], found: tuple[Shortage, ...]
) -> None:
    assert shortages(service("web", vips=(VIP,), **policies), piece("web", *where)) == found


def test_an_external_policy_without_anything_external_is_no_shortage() -> None:
    assert shortages(service("web", external_traffic_policy="Local"), piece("web", "b3")) == ()


def test_each_port_and_each_family_counts() -> None:
    ports = port(80, "http"), port(81, "admin")
    of = dual_stack("web", *ports, internal_traffic_policy="Local")
    slices = [
        piece("web", "b3", ports=(("http", 8080), ("admin", 8081))),
        piece("web", "b3", name="web-6", ports=(("http", 8080), ("admin", 8081)), family=Family.IPV6),
    ]
    assert shortages(of, *slices) == (INTERNAL, INTERNAL, *[Shortage(Family.IPV6, "internal")] * 2)
