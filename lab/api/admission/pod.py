"""Pods and pod templates: the defaults that the lab's kubelet relies on, and which pods are allowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lab.api.admission import metadata
from lab.api.admission.base import Admission
from lab.api.admission.service_validation import PROTOCOLS, port_name, port_number
from lab.api.errors import FieldError, Object, duplicate, forbidden_field, invalid, required, unsupported

GRACE_SECONDS = 30
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_ON_ANY_NODE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class PodAdmission(Admission):
    def prepare(self, obj: Object, old: Object | None) -> None:
        spec = obj.setdefault("spec", {})
        set_pod_defaults(spec)
        spec.setdefault("serviceAccountName", "default")
        if old is None:
            tolerations = spec.setdefault("tolerations", [])
            for key in _ON_ANY_NODE:
                if key not in (toleration.get("key") for toleration in tolerations):
                    tolerations.append(
                        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
                    )
            obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}

    def validate(self, obj: Object, old: Object | None) -> Iterable[FieldError]:
        yield from validate_pod_spec("spec", obj["spec"])
        if old and _fixed(obj["spec"], old["spec"]) != _fixed(old["spec"], old["spec"]):
            yield forbidden_field(
                "spec",
                "pod updates may not change fields other than `spec.containers[*].image`,"
                "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
                "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
                "previously negative)",
            )


def set_pod_defaults(spec: Object) -> None:
    """The defaults of a Pod's spec, or of the one in a template."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", GRACE_SECONDS)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    for container in _containers(spec):
        image = container.get("image", "")
        tag = image.rpartition("/")[2].partition(":")[2] or "latest"
        container.setdefault("imagePullPolicy", "Always" if tag == "latest" else "IfNotPresent")
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")
            if spec.get("hostNetwork"):
                port.setdefault("hostPort", port.get("containerPort"))
        for name in _PROBES:
            if name in container:
                _set_probe_defaults(container[name])


def _set_probe_defaults(probe: Object) -> None:
    for field, value in _PROBE_DEFAULTS.items():
        probe.setdefault(field, value)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")
        probe["httpGet"].setdefault("scheme", "HTTP")


def validate_pod_spec(path: str, spec: Object) -> Iterator[FieldError]:
    """Everything wrong with a Pod's spec, or with the one in a template."""
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    if spec.get("restartPolicy") not in _RESTART_POLICIES:
        yield unsupported(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART_POLICIES)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        yield invalid(
            f"{path}.terminationGracePeriodSeconds",
            spec["terminationGracePeriodSeconds"],
            "must be greater than or equal to 0",
        )
    if spec.get("nodeName"):
        yield from metadata.dns_subdomain(f"{path}.nodeName", spec["nodeName"])
    yield from metadata.labels(f"{path}.nodeSelector", spec.get("nodeSelector"))
    names: list[str] = []
    for field in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(field) or ()):
            here = f"{path}.{field}[{i}]"
            name = container.get("name", "")
            if not name:
                yield required(f"{here}.name")
            elif name in names:
                yield duplicate(f"{here}.name", name)
            else:
                yield from metadata.dns_label(f"{here}.name", name)
            names.append(name)
            yield from _container(here, container)


def _container(path: str, container: Object) -> Iterator[FieldError]:
    if not container.get("image"):
        yield required(f"{path}.image")
    if container.get("imagePullPolicy") not in _PULL_POLICIES:
        yield unsupported(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    names: list[str] = []
    for i, port in enumerate(container.get("ports") or ()):
        here = f"{path}.ports[{i}]"
        if not port.get("containerPort"):
            yield required(f"{here}.containerPort")
        else:
            yield from port_number(f"{here}.containerPort", port["containerPort"])
        if port["protocol"] not in PROTOCOLS:
            yield unsupported(f"{here}.protocol", port["protocol"], PROTOCOLS)
        if port.get("name"):
            yield from port_name(f"{here}.name", port["name"])
            if port["name"] in names:
                yield duplicate(f"{here}.name", port["name"])
            names.append(port["name"])
    for name in _PROBES:
        if name in container:
            yield from _probe(f"{path}.{name}", container[name], only_one=name != "readinessProbe")


def _probe(path: str, probe: Object, *, only_one: bool) -> Iterator[FieldError]:
    handlers = [name for name in _HANDLERS if name in probe]
    if not handlers:
        yield required(path, "must specify a handler type")
    for extra in handlers[1:]:
        yield forbidden_field(f"{path}.{extra}", "may not specify more than 1 handler type")
    for field in (*_PROBE_DEFAULTS, "initialDelaySeconds"):
        if probe.get(field, 1) < 0:
            yield invalid(f"{path}.{field}", probe[field], "must be greater than or equal to 0")
    if only_one and probe.get("successThreshold") != 1:
        yield invalid(f"{path}.successThreshold", probe.get("successThreshold"), "must be 1")
    for name in ("httpGet", "tcpSocket"):
        port = probe.get(name, {}).get("port")
        if isinstance(port, int):
            yield from port_number(f"{path}.{name}.port", port)
        elif isinstance(port, str):
            yield from port_name(f"{path}.{name}.port", port)
        elif name in probe:
            yield required(f"{path}.{name}.port")


def _containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _fixed(spec: Object, old: Object) -> Object:
    """What an update must leave as it is. The node may be chosen once (the real API has a subresource for that)."""
    free = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"}
    if not old.get("nodeName"):
        free |= {"nodeName"}
    fixed = {k: v for k, v in spec.items() if k not in free}
    for field in ("containers", "initContainers"):
        if field in fixed:
            fixed[field] = [{k: v for k, v in c.items() if k != "image"} for c in fixed[field]]
    return fixed
