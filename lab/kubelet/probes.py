"""Probes: what a pod's manifest asks the kubelet to try, and how a row of tries becomes a verdict.

Container.readinessProbe, livenessProbe and startupProbe (core/v1 Probe). Times are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from lab.api.errors import Object

LIVENESS = "livenessProbe"
READINESS = "readinessProbe"
STARTUP = "startupProbe"


@dataclass(frozen=True, slots=True)
class HttpGet:
    """Succeeds if the answer's status is 200 to 399."""

    port: int
    path: str
    host: str  #: "" is the pod
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TcpConnect:
    """Succeeds if somebody listens."""

    port: int
    host: str


@dataclass(frozen=True, slots=True)
class Execute:
    """Succeeds if the command, run in the pod's network namespace, ends with 0."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Impossible:
    """Never succeeds, and says why."""

    reason: str


Action: TypeAlias = HttpGet | TcpConnect | Execute | Impossible


@dataclass(frozen=True, slots=True)
class Probe:
    action: Action
    initial_delay: float
    period: float
    timeout: float
    success_threshold: int  #: so many successes in a row make a failed probe succeed
    failure_threshold: int  #: so many failures in a row make it fail


def probe_of(container: Object, kind: str) -> Probe | None:
    """The probe of this kind (LIVENESS, READINESS, STARTUP) that a container asks for, with the API's defaults."""
    written = container.get(kind)
    if not written:
        return None
    return Probe(
        action_of(container, written),
        initial_delay=written.get("initialDelaySeconds") or 0,
        period=written.get("periodSeconds") or 10,
        timeout=written.get("timeoutSeconds") or 1,
        success_threshold=written.get("successThreshold") or 1,
        failure_threshold=written.get("failureThreshold") or 3,
    )


def action_of(container: Object, handler: Object) -> Action:
    """What a probe or a lifecycle hook of a container does."""
    if http := handler.get("httpGet"):
        if http.get("scheme", "HTTP") != "HTTP":
            return Impossible("pods of the lab do not speak HTTPS")
        port = port_of(container, http["port"])
        if port is None:
            return Impossible(f"no container port is called {http['port']}")
        headers = tuple((header["name"], header["value"]) for header in http.get("httpHeaders") or ())
        return HttpGet(port, http.get("path") or "/", http.get("host") or "", headers)
    if tcp := handler.get("tcpSocket"):
        port = port_of(container, tcp["port"])
        if port is None:
            return Impossible(f"no container port is called {tcp['port']}")
        return TcpConnect(port, tcp.get("host") or "")
    if execute := handler.get("exec"):
        return Execute(tuple(execute.get("command") or ()))
    return Impossible("pods of the lab do not speak gRPC" if handler.get("grpc") else "nothing to try is given")


def port_of(container: Object, port: int | str) -> int | None:
    """The number of a port that is given as a number or as the name of a container port."""
    if isinstance(port, int):
        return port
    for candidate in container.get("ports") or ():
        if candidate.get("name") == port:
            return int(candidate["containerPort"])
    return int(port) if port.isdigit() else None


class Verdict:
    """What a probe says, after thresholds: it takes several equal tries in a row to change it."""

    def __init__(self, probe: Probe, success: bool) -> None:
        self._probe = probe
        self.success = success
        self._streak = 0  #: tries in a row that contradict the verdict

    def count(self, success: bool) -> bool:
        """Take in one try. Returns whether the verdict changed."""
        self._streak = 0 if success == self.success else self._streak + 1
        threshold = self._probe.success_threshold if success else self._probe.failure_threshold
        if self._streak < threshold or success == self.success:
            return False
        self.success = success
        self._streak = 0
        return True
