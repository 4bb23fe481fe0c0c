"""Deployments and ReplicaSets: defaults, and the rule that the selector selects what the template makes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lab.api.admission import metadata
from lab.api.admission.base import Admission
from lab.api.admission.pod import set_pod_defaults, validate_pod_spec
from lab.api.errors import FieldError, Object, forbidden_field, invalid, required, unsupported
from lab.api.selectors import Selector

_STRATEGIES = ("Recreate", "RollingUpdate")
_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")


class ReplicaSetAdmission(Admission):
    name = "replicaset"

    def prepare(self, obj: Object, old: Object | None) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        set_pod_defaults(spec.setdefault("template", {}).setdefault("spec", {}))
        if old is None:
            obj["status"] = {"replicas": 0}

    def validate(self, obj: Object, old: Object | None) -> Iterable[FieldError]:
        spec = obj["spec"]
        for field in ("replicas", "minReadySeconds"):
            if spec.get(field, 0) < 0:
                yield invalid(f"spec.{field}", spec[field], "must be greater than or equal to 0")
        yield from self._selector(spec)
        template = spec["template"]
        yield from metadata.labels("spec.template.labels", template.get("metadata", {}).get("labels"))
        yield from validate_pod_spec("spec.template.spec", template["spec"])
        if template["spec"].get("restartPolicy") != "Always":
            yield unsupported("spec.template.spec.restartPolicy", template["spec"].get("restartPolicy"), ("Always",))
        if old and spec.get("selector") != old["spec"].get("selector"):
            yield invalid("spec.selector", spec.get("selector"), "field is immutable")

    def _selector(self, spec: Object) -> Iterator[FieldError]:
        selector = spec.get("selector")
        if selector is None:
            yield required("spec.selector")
            return
        problems = list(validate_label_selector("spec.selector", selector))
        yield from problems
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield invalid("spec.selector", selector, f"empty selector is invalid for {self.name}")
        labels = spec["template"].get("metadata", {}).get("labels") or {}
        if not problems and not Selector.of_object(selector).matches(labels):
            yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


class DeploymentAdmission(ReplicaSetAdmission):
    name = "deployment"

    def prepare(self, obj: Object, old: Object | None) -> None:
        super().prepare(obj, old)
        spec = obj["spec"]
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
        strategy = spec.setdefault("strategy", {})
        if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", "25%")
            rolling.setdefault("maxSurge", "25%")
        if old is None:
            obj["status"] = {}

    def validate(self, obj: Object, old: Object | None) -> Iterable[FieldError]:
        yield from super().validate(obj, old)
        spec = obj["spec"]
        strategy = spec["strategy"]
        if strategy["type"] not in _STRATEGIES:
            yield unsupported("spec.strategy.type", strategy["type"], _STRATEGIES)
        elif strategy["type"] == "Recreate" and "rollingUpdate" in strategy:
            yield forbidden_field(
                "spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"
            )
        elif "rollingUpdate" in strategy:
            yield from _rolling(strategy["rollingUpdate"])


def _rolling(rolling: Object) -> Iterator[FieldError]:
    path = "spec.strategy.rollingUpdate"
    zero = 0
    for field in ("maxUnavailable", "maxSurge"):
        value = rolling[field]
        if isinstance(value, str) and not re.fullmatch(r"[0-9]+%", value):
            yield invalid(
                f"{path}.{field}",
                value,
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
                "regex used for validation is '[0-9]+%')",
            )
        elif isinstance(value, int) and value < 0:
            yield invalid(f"{path}.{field}", value, "must be greater than or equal to 0")
        zero += value in (0, "0%")
    if zero == 2:
        yield invalid(f"{path}.maxUnavailable", rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0")


def validate_label_selector(path: str, selector: Object) -> Iterator[FieldError]:
    yield from metadata.labels(f"{path}.matchLabels", selector.get("matchLabels"))
    for i, expression in enumerate(selector.get("matchExpressions") or ()):
        here = f"{path}.matchExpressions[{i}]"
        operator, values = expression.get("operator"), expression.get("values")
        yield from metadata.qualified_name(f"{here}.key", expression.get("key", ""))
        if operator not in _OPERATORS:
            yield invalid(f"{here}.operator", operator or "", "not a valid selector operator")
        elif operator in ("In", "NotIn") and not values:
            yield required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            yield forbidden_field(
                f"{here}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )
