"""On which ports a pod serves a Service: ``targetPort`` resolved, for each pod by itself.

A ``targetPort`` that is a name is looked up in the pod's own containers, so two pods behind one Service may
answer on different numbers. A slice has one set of ports for all its endpoints: pods that differ go into
different slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lab.api.errors import Object


class EndpointPort(NamedTuple):
    """One entry of ``EndpointSlice.ports``. `name` is that of the Service's port."""

    name: str
    port: int
    protocol: str
    app_protocol: str | None = None

    def to_object(self) -> Object:
        obj: Object = {"name": self.name, "port": self.port, "protocol": self.protocol}
        return obj | ({"appProtocol": self.app_protocol} if self.app_protocol else {})

    @staticmethod
    def of_object(obj: Object) -> EndpointPort:
        return EndpointPort(
            obj.get("name") or "",
            obj.get("port") or 0,
            obj.get("protocol") or "TCP",
            obj.get("appProtocol"),
        )


def ports_of_pod(service: Object, pod: Object) -> tuple[EndpointPort, ...]:
    """The Service's ports as this pod serves them, in the Service's order.

    A port whose name the pod does not know is left out; the pod may still serve the others.
    """
    found = []
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        number = _number(port.get("targetPort") or port["port"], protocol, pod)
        if number is not None:
            found.append(EndpointPort(port.get("name") or "", number, protocol, port.get("appProtocol")))
    return tuple(found)


def _number(target: int | str, protocol: str, pod: Object) -> int | None:
    if isinstance(target, int):
        return target
    for container in _long_running_containers(pod):
        for port in container.get("ports") or ():
            if port.get("name") == target and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return None


def _long_running_containers(pod: Object) -> Iterator[Object]:
    """The containers, and the init containers that stay (sidecars: ``restartPolicy: Always``)."""
    yield from pod["spec"].get("containers") or ()
    for container in pod["spec"].get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            yield container
