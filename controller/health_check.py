"""What a load balancer may ask each node about one Service: does it have endpoints here?

With externalTrafficPolicy Local only some nodes can serve, so the cloud's load balancer asks all of them at
``Service.spec.healthCheckNodePort`` and leaves out those that answer 503. `controller.health_check_servers` gives
the answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controller.endpoints import endpoints_by_port
from controller.objects import EndpointSlice, Service
from controller.service import facts_of
from dataplane.table import Family


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One Service's health check in one family.

    `local_endpoints` counts the addresses of this node's ready endpoints, whatever their ports. Terminating ones
    are not ready: they still get packets when there is nothing else, but the load balancer shall move on.
    """

    family: Family
    port: int
    local_endpoints: int


def health_checks_of(service: Service, slices: Iterable[EndpointSlice], node: str) -> tuple[HealthCheck, ...]:
    """One for each of the Service's families; none if it asks for none."""
    port = service.spec.health_check_node_port
    if service.spec.type != "LoadBalancer" or not port:
        return ()
    pieces = tuple(slices)
    found = []
    for family, facts in facts_of(service, ()).items():
        if not facts.external_local:
            continue
        candidates = (c for of_port in endpoints_by_port(pieces, family).values() for c in of_port)
        here = {c.address for c in candidates if c.ready and c.is_on(node)}
        found.append(HealthCheck(family, port, len(here)))
    return tuple(found)
